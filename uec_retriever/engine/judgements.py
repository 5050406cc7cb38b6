"""Judgements that an application records: which record answered which query of its users."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ConfigDict

from uec_retriever.checks.json_text import parse_object
from uec_retriever.checks.numbers import FINITE, check_number
from uec_retriever.checks.rows import read_row
from uec_retriever.data.texts import text_problem
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.errors import InvalidInputError, StorageError
from uec_retriever.store.connection import connects_to

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judgement:
    """How well a record answers a query.

    Attributes:
        query: its text, as it was searched for.
        id: of the record, or of a document that is in pieces, whether or not the index still holds it.
        value: 0 for a wrong answer, above 0 for a right one; finite.

    Raises:
        InvalidInputError: for anything else.
    """

    __pydantic_config__ = ConfigDict(
        extra="ignore", strict=True, allow_inf_nan=False
    )  # later versions may tell more

    query: str
    id: str
    value: float = 1.0

    def __post_init__(self) -> None:
        for name in ("query", "id"):
            value = getattr(self, name)
            if problem := text_problem(value):
                raise InvalidInputError(f"the {name} of a judgement {problem}")
            object.__setattr__(self, name, str(value))  # one of NumPy as Python's
        object.__setattr__(
            self,
            "value",
            check_number("the value of a judgement", self.value, "a finite number >= 0", 0, FINITE),
        )


class Judgements:
    """Judgements in a file of JSON Lines that only grows, so that any number of processes record at once.

    A line begins and ends with a line feed and is written by one call to the system. So one that was torn, by a full
    disk or a machine that failed, spoils only itself, and a process that is killed takes with it at most the judgement
    that it was about to record.

    Args:
        file: need not be there, nor its folder; the folder above that one must be.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @classmethod
    def of(cls, folder: IndexFolder, collection: str) -> Judgements:
        """Those of an index.

        Args:
            folder: of the index.
            collection: id of its collection.

        Raises:
            InvalidInputError: if the folder is a temporary one, or the collection in memory, and they would be lost.
        """
        if not cls.lasts(folder):
            raise InvalidInputError(
                "judgements are kept in the index's folder, and this one is not kept itself: make it in a folder of your own "
                "(path=), or keep them yourself and calibrate with labelled={query: [id, ...]}"
            )
        return cls(folder.judgements_file(collection))

    @staticmethod
    def lasts(folder: IndexFolder) -> bool:
        """Whether an index is there again for another process."""
        client = folder.location.client
        return folder.location.path is not None and (client is None or connects_to(client) != "memory")

    def record(self, judgements: Sequence[Judgement]) -> None:
        """Append judgements in this order. Once this returns they are kept, whatever kills the process.

        Raises:
            StorageError: if one cannot be written; those before it are.
        """
        try:
            self._file.parent.mkdir(exist_ok=True)
            descriptor = os.open(self._file, _APPEND, 0o666)  # the umask applies, as to any new file
            try:
                for judgement in judgements:
                    line = f"\n{json.dumps(asdict(judgement))}\n".encode()
                    if os.write(descriptor, line) < len(line):
                        raise StorageError(
                            f"cannot write all of a judgement to {self._file}: make room on the disk"
                        )
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                f"cannot record judgements in {self._file}: {error.strerror or error}. Open the index where its folder can be "
                "written, or keep judgements elsewhere and give them as labelled="
            ) from error

    def read(self) -> dict[str, set[str]]:
        """Query -> ids of its right records, in the order in which queries were first judged.

        Of a record that is judged twice for a query, the last judgement counts. Queries without a right record are left
        out: that others are wrong does not say that the index has no answer.

        Raises:
            StorageError: if the file is there and cannot be read.
        """
        return right_answers(self.values())

    def values(self) -> dict[tuple[str, str], float]:
        """(Query, id) -> the last judgement of them; lines that are none are passed over, with a warning.

        Raises:
            StorageError: if the file is there and cannot be read.
        """
        try:
            lines = self._file.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(
                f"cannot read judgements from {self._file}: {error.strerror or error}. Check its permissions"
            ) from error
        found: dict[tuple[str, str], float] = {}
        spoilt: list[str] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                judgement = read_row(Judgement, parse_object(line))
            except InvalidInputError as error:
                spoilt.append(f"line {number}: {error}")
            else:
                found[judgement.query, judgement.id] = judgement.value
        if spoilt:
            _logger.warning(
                "passing over %d lines of %s that are no judgements, e.g. %s",
                len(spoilt),
                self._file,
                spoilt[0],
            )
        return found

    def copy_to(self, target: Judgements) -> None:
        """Append to others what they do not judge, so that repeating it changes nothing."""
        there = target.values()
        if lacking := [Judgement(*key, value) for key, value in self.values().items() if key not in there]:
            target.record(lacking)


def right_answers(values: Mapping[tuple[str, str], float]) -> dict[str, set[str]]:
    """Query -> ids that were judged right for it; queries without any are left out.

    Args:
        values: of `Judgements.values`.
    """
    right: dict[str, set[str]] = {}
    for (query, identifier), value in values.items():
        if value > 0:
            right.setdefault(query, set()).add(identifier)
    return right
