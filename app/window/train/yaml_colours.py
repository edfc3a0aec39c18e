"""Light colours for YAML: keys, comments, numbers and words that are values of their own."""

from __future__ import annotations

import re

from PySide6.QtGui import QColor, QSyntaxHighlighter, QTextCharFormat, QTextDocument

from aeqlab.app.window.theme import theme

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"")
_KEY = re.compile(r"(?:(?<=^)|(?<=[\s{,\[-]))[\w./@-][^\s:{}\[\],'\"#]*(?::[^\s:{}\[\],'\"#]+)*(?=\s*:(?:\s|$))")
_VALUE = re.compile(r"(?<![\w./-])(?:true|false|null|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w./-])")


class YamlColours(QSyntaxHighlighter):
    """Colours one document; follows the theme."""

    def __init__(self, document: QTextDocument) -> None:
        super().__init__(document)
        theme().changed.connect(self._dress)
        self._dress()

    def _dress(self) -> None:
        now = theme().now

        def of(colour: str, *, bold: bool = False) -> QTextCharFormat:
            made = QTextCharFormat()
            made.setForeground(QColor(colour))
            if bold:
                made.setFontWeight(600)
            return made

        self._key, self._value = of(now.chosen), of(now.good)
        self._quoted, self._comment = of(now.warning), of(now.dim)
        self.rehighlight()

    def highlightBlock(self, text: str) -> None:
        """Colour one line."""
        taken = [False] * len(text)
        for match in _QUOTED.finditer(text):
            self._colour(match, self._quoted, taken)
        for match in _COMMENT.finditer(text):
            if not taken[match.start()]:
                self._colour(match, self._comment, taken)
                break
        for pattern, look in ((_KEY, self._key), (_VALUE, self._value)):
            for match in pattern.finditer(text):
                if not any(taken[match.start() : match.end()]):
                    self._colour(match, look, taken)

    def _colour(self, match: re.Match[str], look: QTextCharFormat, taken: list[bool]) -> None:
        self.setFormat(match.start(), match.end() - match.start(), look)
        taken[match.start() : match.end()] = [True] * (match.end() - match.start())
