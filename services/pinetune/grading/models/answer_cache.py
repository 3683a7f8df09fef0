"""The last answers by what was asked; the least recently used one goes first."""

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class AnswerCache(Generic[T]):
    """At most `entries` answers. Not for several threads at once: whoever shares it locks."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._answers: OrderedDict[bytes, T] = OrderedDict()

    def get(self, key: bytes) -> T | None:
        """Return the answer to a question, None where it is not kept."""
        if key not in self._answers:
            return None
        self._answers.move_to_end(key)
        return self._answers[key]

    def put(self, key: bytes, answer: T) -> None:
        """Keep an answer."""
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > self._entries:
            self._answers.popitem(last=False)
