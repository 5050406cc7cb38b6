"""Records as Chroma holds them, with their variances in metadata that no user sees, and back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.data.records import RESERVED_PREFIXES, SOURCE_KEY, Record
from uec_retriever.gaussian import Array

_logger = logging.getLogger(__name__)
_VARIANCE, _EMBEDDED, _PAYLOAD = "uec:v", "uec:e", "uec:p"
NUMBER_KEY = "uec:n"
"""When a record was put, where no log of ours tells it."""
_LONGEST = 960  # characters under one key: just below 1,000, a record takes Chroma twice the space and time


@dataclass(frozen=True, eq=False)
class Candidates:
    """What was found for one query.

    Attributes:
        records: m records, with the user's metadata only.
        means: `[m]` dot products of the query's mean with the stored means.
        variances: m coded variances.
        ranks: `[m]` places in what found them, from 0; the least where several legs did.
    """

    records: Sequence[Record]
    means: Array
    variances: Sequence[str]
    ranks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, rows: Sequence[int]) -> Candidates:
        """The chosen ones, in that order."""
        return Candidates(
            [self.records[i] for i in rows],
            self.means[list(rows)],
            [self.variances[i] for i in rows],
            self.ranks[list(rows)],
        )

    def first(self, limit: int) -> list[int]:
        """Rows of what each leg found among its first `limit`."""
        return [int(row) for row in np.flatnonzero(self.ranks < limit)]


@dataclass(frozen=True, eq=False)
class Stored:
    """All that is stored of a record.

    Attributes:
        record: with the user's metadata only.
        mean: `[D]`, float32.
        variance: coded.
    """

    record: Record
    mean: Array
    variance: str


def to_candidates(
    ids: list[str], texts: list[str], metadatas: list[Mapping[str, Any]], distances: list[float]
) -> Candidates:
    """What a query gave, from Chroma's columns.

    Left out are records deleted meanwhile, which come without metadata, and, with a warning, those of someone else.
    """
    variances = _variances(ids, metadatas)
    return Candidates(
        [to_record(ids[i], texts[i], metadatas[i]) for i in variances],
        1.0 - np.asarray([distances[i] for i in variances], dtype=np.float64),
        list(variances.values()),
        np.arange(len(variances)),
    )


def to_stored(
    ids: list[str], texts: list[str], metadatas: list[Mapping[str, Any]], means: list[Any]
) -> dict[str, Stored]:
    """All that is stored of records by id, from Chroma's columns; left out are those that `to_candidates` leaves out."""
    return {
        ids[i]: Stored(to_record(ids[i], texts[i], metadatas[i]), np.asarray(means[i], np.float32), variance)
        for i, variance in _variances(ids, metadatas).items()
    }


def _variances(ids: list[str], metadatas: list[Mapping[str, Any]]) -> dict[int, str]:
    """Row -> coded variance, of our records."""
    variances = [_variance(metadata) for metadata in metadatas]
    if foreign := [ids[i] for i, v in enumerate(variances) if v is None and metadatas[i]]:
        _logger.warning(
            "left out %d records that something else wrote into the collection of the index, e.g. %r",
            len(foreign),
            foreign[0],
        )
    return {i: variance for i, variance in enumerate(variances) if variance is not None}


def to_record(identifier: str, text: str, metadata: Mapping[str, Any] | None) -> Record:
    """A record with the user's metadata only, from what Chroma holds, by key: Chroma gives them in any order."""
    metadata = metadata or {}
    own = {k: v for k, v in sorted(metadata.items()) if not k.startswith(RESERVED_PREFIXES)}
    ours = (metadata.get(key) for key in (_EMBEDDED, _PAYLOAD, SOURCE_KEY))
    return Record(identifier, text, own, *ours)


def with_predecessor(record: Record, old: Record) -> Record:
    """A record with the payload and source of its predecessor where it has none."""
    return replace(record, payload=record.payload or old.payload, source=record.source or old.source)


def to_metadata(record: Record, replaced: Record | None) -> dict[str, Any]:
    """Metadata as Chroma is to hold it, without the variance; it merges, and None drops a key."""
    ours = {_EMBEDDED: record.embedded, _PAYLOAD: record.payload, SOURCE_KEY: record.source}
    if replaced is None:
        return {**record.metadata, **{k: v for k, v in ours.items() if v is not None}}
    return {**dict.fromkeys(replaced.metadata), **record.metadata, **ours}


def number_metadata(number: int | None) -> dict[str, int]:
    """What a change is numbered by, if it is."""
    return {} if number is None else {NUMBER_KEY: number}


def variance_metadata(coded: str) -> dict[str, str]:
    """A coded variance in parts that Chroma keeps well, `uec:v`, `uec:v1`, ...; an index has as many of each."""
    parts = [coded[i : i + _LONGEST] for i in range(0, len(coded), _LONGEST)]
    return {f"{_VARIANCE}{i or ''}": part for i, part in enumerate(parts)}


def _variance(metadata: Mapping[str, Any] | None) -> str | None:
    """The coded variance; None where there is none."""
    metadata = metadata or {}
    parts: list[str] = []
    while isinstance(part := metadata.get(f"{_VARIANCE}{len(parts) or ''}"), str):
        parts.append(part)
        if len(part) != _LONGEST:  # 0.1.0 writes long ones whole, and leaves further parts as they are
            break
    return "".join(parts) or None
