"""What an index will cost, before anything is embedded. Nothing here loads a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.records import Record, SeenIds, same_content
from uec_retriever.data.truncation import SHOWN
from uec_retriever.engine.add import reads
from uec_retriever.engine.location import Location
from uec_retriever.engine.open import open_store
from uec_retriever.engine.sync import Absent

_CHUNK = 1000
_COUNTED = ("texts", "changed", "retold", "unchanged", "pairs", "characters")
_BYTES = 4  # of UTF-8 in a token: what vendors give as a rule for English; other languages take more tokens


@dataclass(frozen=True)
class Estimate:
    """What each expert would embed.

    Attributes:
        texts: of the corpus that are to be embedded.
        changed: those among them whose id is in the index with another text, which they would replace.
        retold: others, which are in the index with other metadata.
        unchanged: others, which are in the index as they are.
        pairs: calibration pairs, each of two texts; none where the index is there.
        characters: of all these texts.
        tokens: about as many, a quarter of the bytes.
        before: texts in the index now.
        absent: those of them that the corpus does not hold.
        absent_ids: ids of the first of these.
    """

    texts: int
    changed: int
    retold: int
    unchanged: int
    pairs: int
    characters: int
    tokens: int
    before: int
    absent: int
    absent_ids: tuple[str, ...]


def estimate(records: Iterable[Record], pairs: CalibrationPairs | None, there: Location | None) -> Estimate:
    """What adding records would embed.

    Args:
        records: of any number.
        pairs: that a new index would be calibrated on, if any.
        there: where the index is, if it is there.

    Raises:
        IdConflictError: if one id stands for two different records.
        NotAnIndexError: if there is no index of ours.
        StorageError: if Chroma cannot be reached.
    """
    counts: Counter[str] = Counter()
    seen, absent, before = SeenIds(), Absent(()), 0
    store = None if there is None else open_store(there)[1]
    try:
        if store is not None:
            before = len(ids := store.ids())
            absent = Absent(ids)
        stream = absent.watch(records)
        for chunk in iter(lambda: list(islice(stream, _CHUNK)), []):
            known = {} if store is None else {r.id: r for r in store.get([r.id for r in chunk])}
            for record in seen.new(chunk):
                counts.update(_cost(record, known.get(record.id)))
    finally:
        if store is not None:
            store.close()
    both = [*pairs.queries, *pairs.positives] if pairs is not None else []
    counts.update(pairs=len(both) // 2, characters=sum(map(len, both)), size=sum(map(_size, both)))
    gone = absent.ids()
    return Estimate(
        **{name: counts[name] for name in _COUNTED},
        tokens=-(-counts["size"] // _BYTES),
        before=before,
        absent=len(gone),
        absent_ids=tuple(gone[:SHOWN]),
    )


def _cost(record: Record, known: Record | None) -> dict[str, int]:
    """What a record adds to the counts, given what the index has under its id."""
    if known is not None and reads(known) == reads(record):
        return {"unchanged" if same_content(known, record) else "retold": 1}
    text = record.embedding_text
    return {"texts": 1, "changed": int(known is not None), "characters": len(text), "size": _size(text)}


def _size(text: str) -> int:
    return len(text.encode())
