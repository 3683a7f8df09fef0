"""Text out of tokens as they come: no half characters, and nothing that a stop string may cut off later.

What is shown is never taken back: the pieces put together are the completion's text. Each token is decoded a bounded
number of times, whatever comes: tokens that become no character are looked at again only once they are more by a
quarter, so that all looks at them together cost a few times the last one.
"""

from collections.abc import Callable, Sequence

HALF = "\ufffd"
"""What decoding gives for bytes that are not yet a character."""
WINDOW_TOKENS = 8
"""Tokens before the new ones that are decoded with them: how a token is written may depend on its neighbours."""
PATIENCE = 4
"""A look in vain at n tokens is followed by one at n + n/4, rounded down but at least one more: a character of UTF-8
has at most four bytes, so that one which does come is shown at once."""


class TextStream:
    """The text of one completion."""

    def __init__(self, text_of: Callable[[Sequence[int]], str], stop: tuple[str, ...]) -> None:
        """`text_of` decodes ids; `stop` are the texts that end the completion."""
        self._text_of = text_of
        self._stop = stop
        self._token_ids: list[int] = []
        self._window_start = 0
        """First token that is decoded again."""
        self._decoded_count = 0
        """Tokens whose text is in `_pending` or was shown."""
        self._next_look = 0
        """How many tokens there must be before it is worth decoding them."""
        self._pending = ""
        self._shown_count = 0

    def push(self, token_ids: Sequence[int]) -> str:
        """Take more tokens; returns the text that can be shown now."""
        self._token_ids += token_ids
        if len(self._token_ids) < self._next_look:
            return ""
        known = self._text_of(self._token_ids[self._window_start : self._decoded_count])
        text = self._text_of(self._token_ids[self._window_start :])
        # Decoded again only once a character is whole; until then the new tokens stay undecoded.
        if text.endswith(HALF) or not text.startswith(known):
            waiting_count = len(self._token_ids) - self._decoded_count
            self._next_look = len(self._token_ids) + max(1, waiting_count // PATIENCE)
            return ""
        self._pending += text[len(known) :]
        self._decoded_count = len(self._token_ids)
        self._window_start = max(self._window_start, self._decoded_count - WINDOW_TOKENS)
        return self._show(len(self._pending) - self._may_be_stop())

    def finish(self, text: str) -> str:
        """Return what is left to show of the completion's whole `text`."""
        return text[self._shown_count :]

    def _show(self, count: int) -> str:
        shown, self._pending = self._pending[:count], self._pending[count:]
        self._shown_count += count
        return shown

    def _may_be_stop(self) -> int:
        """Return how many characters at the end may be the beginning of a stop string."""
        longest = max((len(stop) - 1 for stop in self._stop), default=0)
        ends = (self._pending[-length:] for length in range(min(longest, len(self._pending)), 0, -1))
        return next((len(end) for end in ends if any(stop.startswith(end) for stop in self._stop)), 0)
