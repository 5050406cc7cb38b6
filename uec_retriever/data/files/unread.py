"""Files that are there and could not be read: what an index holds of them is not known to be gone."""

from __future__ import annotations

import re
from itertools import accumulate

_PIECE = re.compile(r"#\d{4,}\Z")


class Unread:
    """Names of such files, and of folders, within a corpus."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """Note one, a folder with or without `/` at its end."""
        self._names.add(name.rstrip("/"))

    def clear(self) -> None:
        """Forget all, as they are read anew."""
        self._names.clear()

    def holds(self, identifier: str) -> bool:
        """Whether a text may be from one of them: its id is such a name, or that of a piece, or of a file below it."""
        if not self._names:
            return False
        above = accumulate(identifier.split("/"), "{}/{}".format)
        return any(name in self._names for name in (_PIECE.sub("", identifier), *above))
