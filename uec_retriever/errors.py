"""Every error that uec-retriever raises on purpose. Each message names the fix."""

from __future__ import annotations

from typing import Any

_SHOWN = 200


def show(value: object, longest: int = _SHOWN) -> str:
    """A value as messages show it: its `repr`, cut, whatever the value is.

    Args:
        value: anything, also what has no `repr`, such as an integer of 5,000 digits or deeply nested lists.
        longest: characters that are kept.
    """
    try:
        text = repr(value)
    except Exception:  # a stranger's __repr__ may raise anything
        return f"a {type(value).__name__} too large to show"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else text[:longest] + "..."


class UECError(Exception):
    """Base class: catch it to catch whatever this library refuses."""


class InvalidInputError(UECError, ValueError):
    """A text, id, metadata value, filter or parameter that cannot be used."""


class IdConflictError(InvalidInputError):
    """An id stands for two different texts."""


class CorpusError(InvalidInputError):
    """A corpus or query file that cannot be read; the message gives the line."""


class LabelError(InvalidInputError):
    """A label file, or a line of one, that cannot be read or continued; the message gives the line."""


class MissingExtraError(UECError, ImportError):
    """An optional dependency that is not installed; the message has the exact `pip install`."""


class JudgeError(UECError):
    """A language model server that refused, or answered with something else than log-probabilities."""


class WorkerError(UECError):
    """Ray itself failed, or a worker in a way that cannot be told otherwise."""


class UnsupportedModelError(UECError):
    """An embedding model whose last linear layer cannot be linearised; names the module in the way."""


class ModelNotFoundError(UECError):
    """An embedding model that cannot be loaded from the given name or path."""


class ModelMismatchError(UECError):
    """A posterior or an index made by another model than the one at hand."""


class TextError(UECError):
    """A text that could not be embedded.

    Attributes:
        position: of the text in the batch, where one is to blame.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class NumericalError(TextError):
    """A model produced NaN, infinite or zero vectors."""


class EmbeddingError(TextError):
    """What is behind an expert, a server or an embedding object, failed, refused, or gave something else than vectors."""


class LowConfidenceError(UECError):
    """A search that was to abstain below a confidence, and did.

    Attributes:
        result: its `SearchResult`, with the hits.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class NotAnIndexError(UECError):
    """A folder or Chroma collection that uec-retriever did not make, or holds no index."""


class FormatVersionError(UECError):
    """A posterior file or an index written in another format version."""


class CorruptFileError(UECError):
    """A file that is damaged or was cut off."""


class StorageError(UECError):
    """The disk or the Chroma server refused to read or write."""


class IndexBusyError(StorageError):
    """Another process is writing to the same index folder."""


class TrainingError(UECError):
    """A training folder that is finished, interrupted or of another run, where something else was asked for."""
