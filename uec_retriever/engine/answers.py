"""Right answers that people name, by the ids of texts or of the documents that these are pieces of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from uec_retriever.engine.comparison import parts_of
from uec_retriever.store.reader import CollectionReader


def records_of(store: CollectionReader, ids: Sequence[str]) -> dict[str, list[str]]:
    """Id -> ids of the records that it names; ids that name none are left out.

    That is the record of this id, or else the pieces of the document of this id: where a text is split, or is so by now,
    whoever judges the document means any of them.

    Args:
        store: the index.
        ids: distinct ones, of texts or documents.
    """
    there = set(store.present(ids))
    found = {i: [i] for i in ids if i in there}
    if absent := [i for i in ids if i not in there]:
        for record in store.get(parts_of(store, absent)):
            if record.source is not None:
                found.setdefault(record.source, []).append(record.id)
    return found


def right_records(
    labelled: Mapping[str, Collection[str]], named: Mapping[str, Sequence[str]]
) -> dict[str, set[str]]:
    """Query -> ids of its right records that the index holds; none for a query whose answers it does not hold.

    Args:
        labelled: query -> ids of its right texts or documents.
        named: what `records_of` gives for all of them.
    """
    return {
        query: {record for i in ids for record in named.get(str(i), ())} for query, ids in labelled.items()
    }
