"""The text of one part of an answer as it comes, less the white space beside marks."""


class PartText:
    """Collects text; white space beside a mark belongs to the mark, all other stays as it is."""

    def __init__(self) -> None:
        self._ready: list[str] = []
        self._space: list[str] = []
        """White space that counts only if more text follows it."""
        self._begun = False
        self._behind_mark = False

    def write(self, text: str) -> None:
        """Take more text."""
        if self._behind_mark:
            text = text.lstrip()
        body = text.rstrip()
        if body:
            self._ready += [*self._space, body]
            self._space.clear()
            self._begun, self._behind_mark = True, False
        if len(body) < len(text):
            self._space.append(text[len(body) :])

    def mark(self) -> None:
        """Note that a mark stands here. White space before it counts only between two texts."""
        self._behind_mark = True
        if not self._begun:
            self._space.clear()

    def close(self) -> None:
        """Note that nothing follows any more."""
        if not self._behind_mark:
            self._ready += self._space
        self._space.clear()

    def take(self) -> str:
        """Return what came since the last time and is certain."""
        text = "".join(self._ready)
        self._ready.clear()
        return text
