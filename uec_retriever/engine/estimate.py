"""What an index will cost, before anything is embedded. Nothing here loads a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.records import Record
from uec_retriever.data.truncation import SHOWN
from uec_retriever.engine.comparison import Change, Comparison
from uec_retriever.engine.existing import Existing
from uec_retriever.engine.location import Location
from uec_retriever.engine.open import open_store
from uec_retriever.engine.sync import Absent

_CHUNK = 1000
_COUNTED = ("texts", "changed", "retold", "unchanged", "skipped", "deleted", "pairs", "characters")
_BYTES = 4  # of UTF-8 in a token: what vendors give as a rule for English; other languages take more tokens


@dataclass(frozen=True)
class Estimate:
    """What each expert would embed.

    Attributes:
        texts: of the corpus that are to be embedded.
        changed: those among them whose id is in the index with another text, which they would replace.
        retold: others, which are in the index with other metadata.
        unchanged: others, which are in the index as they are.
        skipped: others, which stay out, as they, or their documents, are in the index with other content. Where `existing` is
            `refuse`, adding them would be refused.
        deleted: texts in the index that would go, as parts of documents that have other content now.
        pairs: calibration pairs, each of two texts; none where the index is there.
        characters: of all these texts.
        tokens: about as many, a quarter of the bytes.
        before: texts in the index now.
        absent: others of them that the corpus does not hold.
        absent_ids: ids of the first of these.
    """

    texts: int
    changed: int
    retold: int
    unchanged: int
    skipped: int
    deleted: int
    pairs: int
    characters: int
    tokens: int
    before: int
    absent: int
    absent_ids: tuple[str, ...]


def estimate(
    records: Iterable[Record],
    pairs: CalibrationPairs | None,
    there: Location | None,
    *,
    existing: Existing = "replace",
    sync: bool = False,
) -> Estimate:
    """What adding records would embed.

    Args:
        records: of any number.
        pairs: that a new index would be calibrated on, if any.
        there: where the index is, if it is there.
        existing: what would become of what is there with other content.
        sync: count what is stale of documents with what is absent, as making the index equal to the records does.

    Raises:
        IdConflictError: if one id stands for two different records.
        NotAnIndexError: if there is no index of ours.
        StorageError: if Chroma cannot be reached.
    """
    counts: Counter[str] = Counter()
    absent, before = Absent(()), 0
    store = None if there is None else open_store(there)[1]
    rule: Existing = "replace" if existing == "replace" else "skip"
    comparison = Comparison(store, rule, whole=not sync, size=_CHUNK)
    try:
        if store is not None:
            before = len(ids := store.ids())
            absent = Absent(ids)
        for change in comparison.changes(absent.watch(records)):
            counts.update(_cost(change))
    finally:
        if store is not None:
            store.close()
    both = [*pairs.queries, *pairs.positives] if pairs is not None else []
    counts.update(pairs=len(both) // 2, characters=sum(map(len, both)), size=sum(map(_size, both)))
    stale = set(comparison.stale)
    gone = [i for i in absent.ids() if i not in stale]
    counts.update(deleted=len(stale))
    return Estimate(
        **{name: counts[name] for name in _COUNTED},
        tokens=-(-counts["size"] // _BYTES),
        before=before,
        absent=len(gone),
        absent_ids=tuple(gone[:SHOWN]),
    )


def _cost(change: Change) -> dict[str, int]:
    """What a change adds to the counts."""
    texts = [r.embedding_text for r in change.fresh]
    return {
        "texts": len(texts),
        "changed": sum(r.id in change.there for r in change.fresh),
        "retold": len(change.retold),
        "unchanged": change.unchanged,
        "skipped": change.skipped,
        "characters": sum(map(len, texts)),
        "size": sum(map(_size, texts)),
    }


def _size(text: str) -> int:
    return len(text.encode())
