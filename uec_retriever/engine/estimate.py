"""What an index will cost, before anything is embedded. Nothing here loads a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.records import Record
from uec_retriever.engine.add import reads
from uec_retriever.engine.location import Location
from uec_retriever.engine.open import open_store

_CHUNK = 1000
_BYTES = 4  # of UTF-8 in a token: what vendors give as a rule for English; other languages take more tokens


@dataclass(frozen=True)
class Estimate:
    """What each expert would embed.

    Attributes:
        texts: of the corpus that are to be embedded.
        changed: those among them whose id is in the index with another text; only an update takes them.
        unchanged: others of it, which are in the index already, if with other metadata.
        pairs: calibration pairs, each of two texts; none where the index is there.
        characters: of all these texts.
        tokens: about as many, a quarter of the bytes.
    """

    texts: int
    changed: int
    unchanged: int
    pairs: int
    characters: int
    tokens: int


def estimate(records: Iterable[Record], pairs: CalibrationPairs | None, there: Location | None) -> Estimate:
    """What adding records would embed.

    Args:
        records: of any number.
        pairs: that a new index would be calibrated on, if any.
        there: where the index is, if it is there.

    Raises:
        NotAnIndexError: if there is no index of ours.
        StorageError: if Chroma cannot be reached.
    """
    texts = changed = unchanged = characters = size = 0
    for record, known in _compared(records, there):
        if known is not None and reads(known) == reads(record):
            unchanged += 1
            continue
        texts += 1
        changed += known is not None
        characters += len(record.embedding_text)
        size += len(record.embedding_text.encode())
    both = [*pairs.queries, *pairs.positives] if pairs is not None else []
    characters += sum(map(len, both))
    size += sum(len(text.encode()) for text in both)
    return Estimate(texts, changed, unchanged, len(both) // 2, characters, -(-size // _BYTES))


def _compared(records: Iterable[Record], there: Location | None) -> Iterator[tuple[Record, Record | None]]:
    """Records, and what the index has under their ids."""
    if there is None:
        yield from ((record, None) for record in records)
        return
    _, store, _ = open_store(there)
    try:
        stream = iter(records)
        for chunk in iter(lambda: list(islice(stream, _CHUNK)), []):
            known = {r.id: r for r in store.get([r.id for r in chunk])}
            yield from ((r, known.get(r.id)) for r in chunk)
    finally:
        store.close()
