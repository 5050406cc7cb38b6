"""What can be closed, and closes at the end of a `with` block."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self


class Closes:
    """A context manager that closes."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
