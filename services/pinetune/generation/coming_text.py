"""A text that comes in pieces, and the place up to which it was read."""

import re

from pinetune.generation.part_text import PartText

SPACE = re.compile(r"\s*")


class ComingText:
    """What is there of a text from some character on; what was read for good is dropped."""

    def __init__(self) -> None:
        self.text = ""
        """What is there."""
        self.at = 0
        """Where in it the next character to read is."""
        self.ended = False
        """Whether nothing follows any more."""

    @property
    def rest(self) -> str:
        """What was not read yet."""
        return self.text[self.at :]

    @property
    def next(self) -> str:
        """The next character; empty where none is there yet."""
        return self.text[self.at : self.at + 1]

    def add(self, text: str, *, drop: int) -> None:
        """Take more, and forget the first `drop` characters."""
        self.text = self.text[drop:] + text
        self.at -= drop

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Step over what the pattern matches here, the empty text at least; returns it."""
        match = pattern.match(self.text, self.at)
        assert match is not None, "the pattern matches the empty text too"
        self.at = match.end()
        return match.group()

    def found(self, mark: str) -> bool | None:
        """Step over the mark if it stands here; None where that cannot be said yet."""
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return None if not self.ended and mark.startswith(self.rest) else False

    def write_to(self, mark: str, part: PartText) -> bool:
        """Write up to the next mark and step over it; without one write all that cannot be its beginning."""
        end = self.text.find(mark, self.at)
        stop = end if end >= 0 else len(self.text) - (0 if self.ended else self._overlap(mark))
        part.write(self.text[self.at : stop])
        self.at = stop + (len(mark) if end >= 0 else 0)
        return end >= 0

    def write_rest(self, part: PartText) -> None:
        """Write all that is there."""
        part.write(self.rest)
        self.at = len(self.text)

    def _overlap(self, mark: str) -> int:
        """Return how many characters at the end may be the beginning of the mark."""
        longest = min(len(mark) - 1, len(self.text) - self.at)
        return next((length for length in range(longest, 0, -1) if self.text.endswith(mark[:length])), 0)
