"""Finds where a JSON object or array ends, in a text that comes in pieces."""

import re
from typing import Literal

OUTSIDE = re.compile(r"[ \t\n\r0-9+\-.:,aeEflnrstu]*")
"""What may stand in JSON between brackets and strings; anything else shows that it is none."""
STRING = re.compile(r'[^"\\]*')


class JsonEnd:
    """Reads one value, bracket by bracket, each character once."""

    def __init__(self) -> None:
        self.outcome: Literal["open", "whole", "broken"] = "open"
        """`whole` once its last bracket came, whatever is inside; `broken` once it can be no JSON."""
        self._depth = 0
        self._in_string = False
        self._escapes = False

    def read(self, text: str, at: int) -> int:
        """Go on reading; returns where that ended: behind the value, at what is no JSON, at the text's end."""
        while at < len(text) and self.outcome == "open":
            at = self._read_string(text, at) if self._in_string else self._read_outside(text, at)
        return at

    def _read_string(self, text: str, at: int) -> int:
        if self._escapes:
            self._escapes = False
            return at + 1
        at = _end_of(STRING, text, at)
        if at < len(text):
            self._in_string = text[at] != '"'
            self._escapes = self._in_string
            at += 1
        return at

    def _read_outside(self, text: str, at: int) -> int:
        at = _end_of(OUTSIDE, text, at)
        mark = text[at : at + 1]
        if mark == '"':
            self._in_string = True
        elif mark and mark in "{[":
            self._depth += 1
        elif mark and mark in "}]":
            self._depth -= 1
            if self._depth == 0:
                self.outcome = "whole"
        elif mark:
            self.outcome = "broken"
            return at
        return at + len(mark)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None, "the pattern matches the empty text too"
    return match.end()
