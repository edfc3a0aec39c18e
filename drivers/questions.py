"""Which questions of SCPI may be asked at any time: those whose answer costs nothing and changes nothing.

A driver's table of settings has them (`Setting.ask`), in long form with the short form in capitals. Of every other question
nobody knows what it does to the instrument, and some are known to do something: they measure, reset, test, or empty a register.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST_LETTERS = 400
ALWAYS = ("*IDN?", "*OPT?", "SYSTem:VERSion?")
#: Questions that change what the instrument does, or what its driver relies on: never asked by hand.
NEVER = (
    "*ESR?", "*TST?", "*CAL?", "*STB?", "*OPC?", "*LRN?", "MEASure", "READ?", "INITiate", "CALibration", "TEST", "DIAGnostic",
    "STATus", "R?", "DATA:REMove?", "TRACe:TRIGger", "TRIGger", "ABORt", "SYSTem:PRESet", "SYSTem:WDOG", "NUDGe",
)  # fmt: skip
_LINE = re.compile(r"[\x20-\x7e]+")


def refusal(text: str) -> str:
    """Say why a text is no question that may be asked by hand at all; empty where it is one."""
    if not _LINE.fullmatch(text) or len(text) > MOST_LETTERS:
        return f"a question is one line of plain letters, at most {MOST_LETTERS}"
    if ";" in text:
        return "one question at a time, without ;"
    head = text.strip().split(" ", 1)[0]
    if not head.endswith("?"):
        return "it is no question: its first word has to end with ?. Commands go through the session, which keeps the limits"
    if any(_pattern(one, begins=True).match(head.lstrip(":")) for one in NEVER):
        return f"{head} changes what the instrument does, or what its driver relies on"
    return ""


def is_known(text: str, table: Iterable[str]) -> bool:
    """Tell whether a question is one of a driver's table, of which it is known that it changes nothing."""
    asked = text.strip().lstrip(":")
    return any(_pattern(one).fullmatch(asked) for one in (*ALWAYS, *table))


def _pattern(question: str, begins: bool = False) -> re.Pattern[str]:
    """Make the pattern of a question: each word in long or in short form, channels as any number or list."""
    parts = re.split(r"(\{\w+\})", question)
    made = []
    for part in parts:
        if part.startswith("{"):
            made.append(r"(?:\(@)?[\d,:]*\)?")
            continue
        for word in re.split(r"([A-Za-z]+)", part):
            short = "".join(c for c in word if not c.islower())
            made.append(f"(?:{word}|{short})" if word.isalpha() and short not in ("", word) else re.escape(word))
    return re.compile("".join(made) + ("" if not begins or question.endswith("?") else r"(?![A-Za-z])"), re.IGNORECASE)
