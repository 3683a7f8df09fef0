"""Texts that end a completion: found in what is sampled, kept in the token ids, cut from the text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

TextOf = Callable[[Sequence[int]], str]
"""Decodes ids, special tokens left out."""


@dataclass(frozen=True)
class StopStrings:
    """The stop strings of one call."""

    text_of: TextOf
    """What turns ids into text."""
    strings: tuple[str, ...]
    """The texts, none empty; without any nothing is ever found."""

    @property
    def window_tokens(self) -> int:
        """How many ids one has to see to find a stop string that ends in the last of them."""
        # A token is at least a byte of text, and one more may be cut by the window's edge.
        return max((len(string.encode()) + 1 for string in self.strings), default=0)

    def found(self, token_ids: Sequence[int]) -> bool:
        """Say whether the text of the ids contains a stop string."""
        text = self.text_of(token_ids) if self.strings else ""
        return any(string in text for string in self.strings)

    def window_start(self, token_count: int, new_count: int) -> int:
        """Return the first of `token_count` ids to look at where nothing was found before the last `new_count` came."""
        return max(0, token_count - new_count - self.window_tokens)

    def found_lately(self, token_ids: Sequence[int], new_count: int) -> bool:
        """As `found`, where nothing was found before the last `new_count` ids came."""
        return self.found(token_ids[self.window_start(len(token_ids), new_count) :]) and self.found(token_ids)

    def cut(self, token_ids: Sequence[int]) -> tuple[int, str] | None:
        """Return the smallest number of ids whose text contains a stop string, and that text up to it; or None."""
        if not self.found(token_ids):
            return None
        low, high = 1, len(token_ids)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.found(token_ids[:middle]) else (middle + 1, high)
        text = self.text_of(token_ids[:low])
        return low, text[: min(place for place in map(text.find, self.strings) if place >= 0)]
