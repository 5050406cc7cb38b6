"""One change of a lexical index: documents that are put and deleted, and every count that follows from them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from uec_retriever.store.lexical.documents import (
    NONE,
    encode,
    find_numbers,
    find_terms,
    free_numbers,
    read_contents,
    read_state,
    take_numbers,
    write_lengths,
)
from uec_retriever.store.lexical.postings import SHIFT, Ints, change_postings, pack


def apply(
    connection: sqlite3.Connection, put: Mapping[str, Counter[str]], delete: Collection[str], mark: str
) -> None:
    """Write a change.

    Args:
        connection: in a transaction that writes.
        put: id -> terms with their frequencies, of documents that are new or replaced.
        delete: ids, none of them in `put`, that need not be there.
        mark: from now on.
    """
    state = read_state(connection)
    replaced, deleted = find_numbers(connection, put), find_numbers(connection, delete)
    fresh = [identifier for identifier in put if identifier not in replaced]
    gone = [*replaced.values(), *deleted.values()]
    contents = read_contents(connection, gone)
    old = np.sort(contents.terms << SHIFT | np.repeat(np.array(gone, np.int64), contents.sizes))
    free_numbers(connection, deleted.values())
    given = take_numbers(connection, len(fresh), state.numbers)
    numbers = {**replaced, **dict(zip(fresh, given, strict=True))}

    known, new = _name_terms(connection, put)
    keys, tfs = _write_documents(connection, put, numbers, {**known, **new})
    removed = old[~np.isin(old, keys, assume_unique=True)]
    added = ~np.isin(keys, old, assume_unique=True)
    _change_terms(connection, keys, tfs, added, removed, new)
    every = np.concatenate([keys, removed])
    counts = np.concatenate([tfs, np.zeros(len(removed), np.int64)])
    order = np.argsort(every)
    change_postings(connection, every[order], counts[order], set(new.values()))

    lengths = {numbers[identifier]: terms.total() for identifier, terms in put.items()}
    changed = {**dict.fromkeys(deleted.values(), NONE), **lengths}
    version = state.version + 1
    write_lengths(
        connection, np.array(list(changed), np.int64), np.array(list(changed.values()), np.int64), version
    )
    connection.execute(
        "UPDATE state SET documents = documents + ?, length = length + ?, numbers = ?, version = ?, mark = ?",
        (
            len(fresh) - len(deleted),
            sum(lengths.values()) - int(contents.tfs.sum(dtype=np.int64)),
            max(state.numbers, max(given, default=-1) + 1),
            version,
            mark,
        ),
    )


def _name_terms(
    connection: sqlite3.Connection, put: Mapping[str, Counter[str]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Ids of the terms that there are, and of those that are new, ascending."""
    every = dict.fromkeys(term for terms in put.values() for term in terms)
    known = {term: row[0] for term, row in find_terms(connection, every).items()}
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM terms").fetchone()
    return known, {term: last + 1 + i for i, term in enumerate(t for t in every if t not in known)}


def _write_documents(
    connection: sqlite3.Connection,
    put: Mapping[str, Counter[str]],
    numbers: Mapping[str, int],
    known: Mapping[str, int],
) -> tuple[Ints, Ints]:
    """Store documents; key and frequency of each of their postings, document by document."""
    sizes = np.array([len(terms) for terms in put.values()], np.int64)
    ids = np.fromiter((known[term] for terms in put.values() for term in terms), np.int64, sizes.sum())
    tfs = np.fromiter((tf for terms in put.values() for tf in terms.values()), np.int64, sizes.sum())
    order = np.lexsort((ids, np.repeat(np.arange(len(sizes)), sizes)))
    ids, tfs = ids[order], tfs[order]
    raw_ids, ends = ids.astype("<u4").tobytes(), np.cumsum(sizes).tolist()
    rows = [
        (numbers[identifier], identifier, raw_ids[4 * (end - size) : 4 * end], pack(tfs[end - size : end]))
        for identifier, size, end in zip(put, sizes.tolist(), ends, strict=True)
    ]
    connection.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", rows)
    own = np.array([row[0] for row in rows], np.int64)
    return ids << SHIFT | np.repeat(own, sizes), tfs


def _change_terms(
    connection: sqlite3.Connection,
    keys: Ints,
    tfs: Ints,
    added: Any,
    removed: Ints,
    new: Mapping[str, int],
) -> None:
    """Count the documents of each term; new ones come, and those that have none left go."""
    terms, rows = np.unique(keys >> SHIFT, return_inverse=True)
    most = np.zeros(len(terms), np.int64)
    np.maximum.at(most, rows, tfs)
    more = np.bincount(rows, added, minlength=len(terms)).astype(np.int64)
    known = len(terms) - len(new)  # the ids of new ones are the last
    connection.executemany(
        "UPDATE terms SET df = df + ?, most = max(most, ?) WHERE id = ?",
        zip(more[:known].tolist(), most[:known].tolist(), terms[:known].tolist(), strict=True),
    )
    connection.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?)",
        zip(new.values(), map(encode, new), more[known:].tolist(), most[known:].tolist(), strict=True),
    )
    lost, fewer = np.unique(removed >> SHIFT, return_counts=True)
    connection.executemany(
        "UPDATE terms SET df = df - ? WHERE id = ?", zip(fewer.tolist(), lost.tolist(), strict=True)
    )
    connection.executemany("DELETE FROM terms WHERE id = ? AND df = 0", [(term,) for term in lost.tolist()])
