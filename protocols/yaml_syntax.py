"""What PyYAML's syntax errors mean, in sentences that say how to mend the line."""

from __future__ import annotations

import yaml

from aeqlab.protocols.errors import Problem

#: Part of the parser's message, what is wrong, how to mend it. The first that fits counts.
_SENTENCES = (
    (
        "mapping values are not allowed",
        "a colon stands where none can.",
        "Check the indentation; quote a text with ': ' in it.",
    ),
    ("could not find expected ':'", "a key without a colon and a space after it.", "Write key: value."),
    (
        "expected <block end>",
        "the indentation does not fit the lines above.",
        "Align this line with its neighbours.",
    ),
    ("expected ',' or ']', but got '['", "a [ within a list begins a list in it.", 'Put a name with brackets in quotes: "u[3]".'),
    ("expected ',' or '}', but got '['", "a [ within { } begins a list.", 'Put a name with brackets in quotes: "u[3]".'),
    ("expected ',' or ']'", "a list that began with [ goes wrong here.", "Put commas between its items and ] at its end."),
    ("expected ',' or '}'", "a mapping that began with { goes wrong here.", "Put commas between its entries and } at its end."),
    ("unknown escape character", "a backslash in double quotes that means nothing.", "Use single quotes, as in 'C:\\data'."),
    ("expected escape sequence", "a backslash in double quotes that means nothing.", "Use single quotes, as in 'C:\\data'."),
    ("unexpected end of stream", "a quote that is never closed.", "Add the closing quote."),
    ("unexpected document separator", "a quote that is never closed.", "Add the closing quote."),
    ("tag", "a tag (!) is not read.", "Delete it, or put the text in quotes."),
    ("anchor", "an anchor (&) or alias (*) without a name.", "Put the text in quotes if none is meant."),
    ("alias", "an anchor (&) or alias (*) without a name.", "Put the text in quotes if none is meant."),
    ("block sequence entries", "a list item (- ...) stands where none can.", "Begin the list on a line of its own."),
    ("that cannot start any token", "a text cannot begin with this character.", "Put the text in quotes."),
    ("<document start>", "this stands outside of the document.", "Is the indentation right, or is a line --- or ... too many?"),
    ("expected the node content", "something is missing here.", "Write a value, or take the comma or bracket away."),
)


def syntax_problems(exc: yaml.YAMLError, text: str, file: str) -> list[Problem]:
    """Explain a syntax error; for a tab, all lines that are indented with one."""
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    lines = text.splitlines()
    if mark is None:
        return [Problem(file, None, None, "", f"this is not YAML: {exc}.", "")]
    here = lines[mark.line] if mark.line < len(lines) else ""
    if _tab_in_indentation(here) or here[mark.column : mark.column + 1] == "\t":
        hint = "Indent with spaces."
        tabs = [n for n, line in enumerate(lines) if _tab_in_indentation(line) or n == mark.line][:50]
        return [Problem(file, n + 1, lines[n].find("\t") + 1, "", "a tab stands in the indentation.", hint) for n in tabs]
    said = " ".join(str(part) for part in (getattr(exc, "context", ""), getattr(exc, "problem", "")) if part)
    for part, message, hint in _SENTENCES:
        if part in said:
            return [Problem(file, mark.line + 1, mark.column + 1, "", message, hint)]
    return [Problem(file, mark.line + 1, mark.column + 1, "", f"this is not YAML: {said}.", "Check the lines above it.")]


def _tab_in_indentation(line: str) -> bool:
    return "\t" in line[: len(line) - len(line.lstrip())] and bool(line.strip())
