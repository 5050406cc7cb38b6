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
    keys, tfs = _write_documents(connection, put, numbers, known)
    removed = old[~np.isin(old, keys, assume_unique=True)]
    added = ~np.isin(keys, old, assume_unique=True)
    _change_terms(connection, keys, tfs, added, removed)
    every = np.concatenate([keys, removed])
    counts = np.concatenate([tfs, np.zeros(len(removed), np.int64)])
    order = np.argsort(every)
    change_postings(connection, every[order], counts[order], new)

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
) -> tuple[dict[str, int], set[int]]:
    """Ids of all terms, and which of them are new."""
    every = dict.fromkeys(term for terms in put.values() for term in terms)
    known = {term: row[0] for term, row in find_terms(connection, every).items()}
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM terms").fetchone()
    new = [term for term in every if term not in known]
    ids = range(last + 1, last + 1 + len(new))
    connection.executemany("INSERT INTO terms VALUES (?, ?, 0, 0)", zip(ids, map(encode, new), strict=True))
    known.update(zip(new, ids, strict=True))
    return known, set(ids)


def _write_documents(
    connection: sqlite3.Connection,
    put: Mapping[str, Counter[str]],
    numbers: Mapping[str, int],
    known: Mapping[str, int],
) -> tuple[Ints, Ints]:
    """Store documents; key and frequency of each of their postings, in no order."""
    keys, tfs, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], []
    for identifier, terms in put.items():
        ids = np.array([known[term] for term in terms], np.int64)
        counts = np.array(list(terms.values()), np.int64)
        order = np.argsort(ids)
        ids, counts = ids[order], counts[order]
        number = numbers[identifier]
        rows.append((number, identifier, ids.astype("<u4").tobytes(), pack(counts)))
        keys.append(ids << SHIFT | number)
        tfs.append(counts)
    connection.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", rows)
    return np.concatenate(keys), np.concatenate(tfs)


def _change_terms(connection: sqlite3.Connection, keys: Ints, tfs: Ints, added: Any, removed: Ints) -> None:
    """Count the documents of each term; those that have none left go."""
    terms, rows = np.unique(keys >> SHIFT, return_inverse=True)
    most = np.zeros(len(terms), np.int64)
    np.maximum.at(most, rows, tfs)
    more = np.bincount(rows, added, minlength=len(terms)).astype(np.int64)
    connection.executemany(
        "UPDATE terms SET df = df + ?, most = max(most, ?) WHERE id = ?",
        zip(more.tolist(), most.tolist(), terms.tolist(), strict=True),
    )
    lost, fewer = np.unique(removed >> SHIFT, return_counts=True)
    connection.executemany(
        "UPDATE terms SET df = df - ? WHERE id = ?", zip(fewer.tolist(), lost.tolist(), strict=True)
    )
    connection.executemany("DELETE FROM terms WHERE id = ? AND df = 0", [(term,) for term in lost.tolist()])
