"""The manners of SCPI: headers in long and short form, suffixes, paths, lists, blocks, the error queue and the status byte.

A front is a list of `Command`s and what they do. It answers queries alone; a bad command leaves everything as it was and queues
its error; a bad query gets no reply at all, so whoever asked waits in vain, as with real instruments.
Sources: SCPI-1999 volumes 1 and 2; IEEE 488.2-1992; the manuals named in RIGS section 2.3 for the error queue.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aeqlab.drivers import blocks
from aeqlab.drivers.errors import ReplyError

#: The errors of SCPI-1999, volume 2, chapter 21, that instruments here give.
TEXTS = {
    -101: "Invalid character", -102: "Syntax error", -103: "Invalid separator", -104: "Data type error",
    -108: "Parameter not allowed", -109: "Missing parameter", -113: "Undefined header", -114: "Header suffix out of range",
    -121: "Invalid character in number", -131: "Invalid suffix", -161: "Invalid block data", -200: "Execution error",
    -220: "Parameter error", -221: "Settings conflict", -222: "Data out of range", -223: "Too much data",
    -224: "Illegal parameter value", -230: "Data corrupt or stale", -350: "Error queue overflow", -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
}  # fmt: skip
MOST_KNOWN = 2000  #: headers that are remembered
QUEUE = 20  #: errors that fit into the queue
POWER_ON, COMMAND, EXECUTION, DEVICE, QUERY, COMPLETE = 128, 32, 16, 8, 4, 1  #: bits of the event status register

#: A parameter: text, or the numbers' bytes of a block.
Value = str | bytes
Handler = Callable[["Call"], "str | bytes | None"]


class ScpiError(Exception):
    """What an instrument finds wrong with a message; `text` where its wording is its own."""

    def __init__(self, code: int, text: str = "") -> None:
        self.code, self.text = code, text or TEXTS.get(code, "Device-specific error")
        super().__init__(f'{code},"{self.text}"')


@dataclass(frozen=True, slots=True)
class Call:
    """One command as it came.

    Attributes:
        suffixes: numbers at the nodes that have one, 1 where none was given; `SOUR3:VOLT` has (3,).
        values: parameters; channel lists stay text, see `channels`.
        query: whether it was asked with a question mark.
    """

    suffixes: tuple[int, ...]
    values: tuple[Value, ...]
    query: bool

    def text(self, at: int = 0) -> str:
        """Get a parameter as text."""
        value = self.values[at] if at < len(self.values) else None
        if value is None:
            raise ScpiError(-109)
        if isinstance(value, bytes):
            raise ScpiError(-104)
        return value

    def number(self, at: int = 0, low: float = float("-inf"), high: float = float("inf")) -> float:
        """Get a parameter as a number within a range; MIN and MAX are its ends, where it has any."""
        word = self.text(at).strip().upper()
        if word in ("MIN", "MINIMUM") and low > float("-inf"):
            return low
        if word in ("MAX", "MAXIMUM") and high < float("inf"):
            return high
        try:
            value = float(word)
        except ValueError:
            raise ScpiError(-121 if re.match(r"[-+.\d]", word) else -104) from None
        if not low <= value <= high:
            raise ScpiError(-222)
        return value

    def word(self, at: int, *choices: str) -> str:
        """Get a parameter that is one of some words, in long or short form; they are given long, the short one in capitals."""
        said = self.text(at).strip().upper()
        for choice in choices:
            if said in (choice.upper(), short_form(choice)):
                return choice
        raise ScpiError(-224)

    def switch(self, at: int = 0) -> bool:
        """Get a parameter that is ON or OFF, 1 or 0."""
        said = self.text(at).strip().upper()
        if said in ("ON", "1"):
            return True
        if said in ("OFF", "0"):
            return False
        raise ScpiError(-224)

    def block(self, at: int, dtype: str) -> list[float]:
        """Get the numbers of a parameter that is a block."""
        value = self.values[at] if at < len(self.values) else None
        if value is None:
            raise ScpiError(-109)
        if not isinstance(value, bytes):
            raise ScpiError(-161)
        try:
            return [float(number) for number in blocks.decode(value, dtype)]
        except ReplyError:
            raise ScpiError(-161) from None


@dataclass(frozen=True, slots=True)
class Command:
    """A header and what it does.

    Attributes:
        header: such as `SOURce#:VOLTage[:LEVel]`: capitals are the short form, `#` is where a number may stand, brackets what may
            be left out.
        ask: answers the query; None: there is none.
        do: carries out the command; None: there is none.
        parameters: how many parameters a command may have; a query may have as many or fewer.
    """

    header: str
    ask: Handler | None = None
    do: Handler | None = None
    parameters: tuple[int, int] = (0, 8)


def short_form(word: str) -> str:
    """Get the short form of a word: its capitals and what is no letter."""
    return "".join(c for c in word if not c.islower())


def channels(text: str, known: Sequence[int]) -> list[int]:
    """Read a channel list such as `(@101,103:105)`.

    Raises:
        ScpiError: it is none, or names a channel that is not there.
    """
    match = re.fullmatch(r"\(@([\d,: ]*)\)", text.strip())
    if match is None:
        raise ScpiError(-102)
    found: list[int] = []
    for part in filter(None, (piece.strip() for piece in match[1].split(","))):
        first, _, last = part.partition(":")
        try:
            found += range(int(first), int(last or first) + 1)
        except ValueError:
            raise ScpiError(-102) from None
    if not set(found) <= set(known):
        raise ScpiError(-222)
    return found


def _pattern(header: str) -> re.Pattern[str]:
    made = ""
    for piece in re.findall(r"\[|\]|:?[*A-Za-z]+#?|:", header):
        if piece == "[":
            made += "(?:"
        elif piece == "]":
            made += ")?"
        elif piece == ":":  # the end of a node that may be left out, such as `[SENSe:]FUNCtion`
            made += ":"
        else:
            colon, node = (":", piece[1:]) if piece.startswith(":") else ("", piece)
            number = r"(\d*)" if node.endswith("#") else ""
            node = node.rstrip("#")
            long, short = re.escape(node.upper()), re.escape(short_form(node))
            made += f"{colon}(?:{long}|{short}){number}"
    return re.compile(made)


@dataclass
class Front:
    """The front of an emulated instrument: one state, however many talk to it.

    Args:
        name: its answer to `*IDN?`.
        commands: what it knows besides the common commands.
        reset: what `*RST` does.
        error_form: how it writes an entry of its error queue.
        no_error: what it says when there is none.
    """

    name: str
    commands: Sequence[Command] = ()
    reset: Callable[[], None] = lambda: None
    errors: deque[tuple[int, str]] = field(default_factory=deque)
    events: int = POWER_ON
    no_error: str = '+0,"No error"'
    error_form: str = '{code:+d},"{text}"'

    def __post_init__(self) -> None:
        common = [
            Command("*IDN", ask=lambda call: self.name),
            Command("*RST", do=lambda call: self.reset(), parameters=(0, 0)),
            Command("*CLS", do=lambda call: self._clear(), parameters=(0, 0)),
            Command("*OPC", ask=lambda call: "1", do=lambda call: self._happened(COMPLETE), parameters=(0, 0)),
            Command("*WAI", do=lambda call: None, parameters=(0, 0)),
            Command("*ESR", ask=lambda call: self._events_since()),
            Command("*STB", ask=lambda call: str(4 if self.errors else 0)),
            Command("SYSTem:ERRor[:NEXT]", ask=lambda call: self._next_error()),
            Command("SYSTem:ERRor:COUNt", ask=lambda call: str(len(self.errors))),
            Command("SYSTem:ERRor:ALL", ask=lambda call: self._all_errors()),
        ]
        self._table = [(_pattern(one.header), one) for one in (*self.commands, *common)]
        self._known: dict[str, tuple[Command, tuple[int, ...]]] = {}  # headers that were found before

    def complain(self, code: int, text: str = "") -> None:
        """Queue an error; where the queue is full, its last entry says so."""
        if len(self.errors) >= QUEUE:
            self.errors[-1] = (-350, TEXTS[-350])
        else:
            self.errors.append((code, text or TEXTS.get(code, "Device-specific error")))
        bits = {1: COMMAND, 2: EXECUTION, 3: DEVICE, 4: QUERY}
        self._happened(bits.get(-code // 100, DEVICE))

    def carry_out(self, message: bytes) -> bytes:
        """Carry out a message without its end; returns the replies, with `;` between them, or nothing."""
        replies: list[bytes] = []
        path = ""
        for unit in _split(message, b";"):
            text = unit.strip()
            if not text:
                continue
            try:
                header, _, rest = text.partition(b" ")
                word = header.decode("ascii", "replace").upper()
                query = word.endswith("?")
                word = word.rstrip("?")
                command, suffixes, path = self._find(word, path)
                values = tuple(_value(part) for part in _split(rest, b",")) if rest.strip() else ()
                handler = command.ask if query else command.do
                if handler is None:
                    raise ScpiError(-113)
                if len(values) > command.parameters[1]:
                    raise ScpiError(-108)
                if not query and len(values) < command.parameters[0]:
                    raise ScpiError(-109)
                reply = handler(Call(suffixes, values, query))
            except ScpiError as exc:
                self.complain(exc.code, exc.text)
                return b";".join(replies)  # the rest of the message is not carried out
            if query and reply is not None:
                replies.append(reply if isinstance(reply, bytes) else reply.encode("ascii"))
        return b";".join(replies)

    def _find(self, word: str, path: str) -> tuple[Command, tuple[int, ...], str]:
        """Find a header; one without a leading colon goes on in the path of the one before."""
        common = word.startswith("*")
        tries = [word.lstrip(":")] if common or word.startswith(":") or not path else [f"{path}:{word}", word]
        for full in tries:
            if (known := self._known.get(full)) is not None:
                return *known, path if common else full.rpartition(":")[0]
            for pattern, command in self._table:
                if match := pattern.fullmatch(full):
                    suffixes = tuple(int(number) if number else 1 for number in match.groups() if number is not None)
                    if len(self._known) < MOST_KNOWN:
                        self._known[full] = command, suffixes
                    return command, suffixes, path if common else full.rpartition(":")[0]
        raise ScpiError(-113)

    def _happened(self, bit: int) -> None:
        self.events |= bit

    def _events_since(self) -> str:
        events, self.events = self.events, 0
        return str(events)

    def _clear(self) -> None:
        self.errors.clear()
        self.events = 0

    def _next_error(self) -> str:
        if not self.errors:
            return self.no_error
        code, text = self.errors.popleft()
        return self.error_form.format(code=code, text=text)

    def _all_errors(self) -> str:
        if not self.errors:
            return self.no_error
        said = ",".join(self.error_form.format(code=code, text=text) for code, text in self.errors)
        self.errors.clear()
        return said


#: What may hold the end of a message, or of a part of it, within itself: a quotation or a block.
_PAIRED = re.compile(rb"[\"'#]")


class Conversation:
    """What came over one link so far: bytes in, whole messages carried out, replies out."""

    def __init__(self, front: Front, end: bytes = b"\n") -> None:
        self.front, self.end = front, end
        self._came = bytearray()

    def hear(self, data: bytes, each: Callable[[], None] = lambda: None) -> list[bytes]:
        """Take bytes as they come; returns a reply, with its end, for every message that has one; calls `each` before each."""
        self._came += data
        replies = []
        while (length := _length(self._came)) is not None:
            message = bytes(self._came[:length])
            del self._came[: length + 1]
            each()
            if reply := self.front.carry_out(message.rstrip(b"\r")):
                replies.append(reply + self.end)
        return replies


def _length(came: bytearray) -> int | None:
    """Get the length of the first whole message, which ends with LF outside of any block; None where there is none yet."""
    end = came.find(b"\n")
    if end < 0 or not _PAIRED.search(came, 0, end):
        return end if end >= 0 else None
    at = 0
    while at < len(came):
        if came[at] == ord("\n"):
            return at
        at = _past(came, at)
    return None


def _past(data: bytes | bytearray, at: int) -> int:
    """Get the place after the character, quotation, list or block that begins at a place."""
    c = data[at : at + 1]
    if c in (b'"', b"'"):
        end = data.find(c, at + 1)
        line = data.find(b"\n", at + 1)
        return end + 1 if end >= 0 and not 0 <= line < end else at + 1
    if c == b"#" and data[at + 1 : at + 2].isdigit() and data[at + 1 : at + 2] != b"0":
        digits = int(data[at + 1 : at + 2])
        length = bytes(data[at + 2 : at + 2 + digits])
        if len(length) == digits and length.isdigit():
            return at + 2 + digits + int(length)
        return len(data) if len(length) < digits else at + 1  # the rest of its head is still on its way
    return at + 1


def _split(message: bytes, by: bytes) -> list[bytes]:
    """Split at a character, but not within quotations, lists and blocks."""
    if by not in message:
        return [message]
    if not _PAIRED.search(message) and b"(" not in message:
        return message.split(by)
    parts, begin, at, depth = [], 0, 0, 0
    while at < len(message):
        c = message[at : at + 1]
        depth += (c == b"(") - (c == b")")
        if c == by and depth <= 0:
            parts.append(message[begin:at])
            begin = at = at + 1
        else:
            at = _past(message, at)
    return [*parts, message[begin:]]


def _value(part: bytes) -> Value:
    """Read one parameter: the data of a block as bytes, anything else as text without its quotation marks."""
    text = part.strip()
    if text[:1] == b"#" and text[1:2].isdigit():
        whole = part.lstrip()
        try:
            digits = blocks.digits_of(whole[:2])
            length = blocks.length_of(whole[2 : 2 + digits])
        except ReplyError:
            raise ScpiError(-161) from None
        data = whole[2 + digits : 2 + digits + length]
        if len(data) != length:
            raise ScpiError(-161)
        return data
    said = text.decode("ascii", "replace")
    return said[1:-1] if len(said) > 1 and said[0] == said[-1] and said[0] in "\"'" else said
