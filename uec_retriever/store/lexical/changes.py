"""One change of a lexical index: documents that are put and deleted, and every count that follows from them."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np

from uec_retriever.store.lexical.documents import (
    NONE,
    encode,
    find_numbers,
    free_numbers,
    read_contents,
    read_state,
    select,
    take_numbers,
    write_lengths,
)
from uec_retriever.store.lexical.postings import SHIFT, Ints, change_postings, pack

_LOW = (1 << SHIFT) - 1


@dataclass(frozen=True)
class Put:
    """Documents that are new or replaced.

    Attributes:
        ids: of n documents.
        lengths: `[n]`, in terms.
        terms: distinct ones.
        words: `[sum of the lengths]`, positions of terms, document by document.
    """

    ids: Sequence[str]
    lengths: Ints
    terms: Sequence[str]
    words: Ints

    @classmethod
    def of(cls, documents: Mapping[str, Sequence[str]]) -> Put:
        """Documents as id -> terms, with repeats."""
        lengths = np.array([len(terms) for terms in documents.values()], np.int64)
        places: defaultdict[str, int] = defaultdict(count().__next__)
        every = map(places.__getitem__, chain.from_iterable(documents.values()))
        words = np.fromiter(every, np.int64, int(lengths.sum()))
        return cls(list(documents), lengths, list(places), words)


def apply(connection: sqlite3.Connection, put: Put, delete: Collection[str], mark: str) -> None:
    """Write a change.

    Args:
        connection: in a transaction that writes.
        put: documents that are new or replaced.
        delete: ids, none of them in `put`, that need not be there.
        mark: from now on.
    """
    state = read_state(connection)
    replaced, deleted = find_numbers(connection, put.ids), find_numbers(connection, delete)
    fresh = [identifier for identifier in put.ids if identifier not in replaced]
    gone = [*replaced.values(), *deleted.values()]
    contents = read_contents(connection, gone)
    old = np.sort(contents.terms << SHIFT | np.repeat(np.array(gone, np.int64), contents.sizes))
    free_numbers(connection, deleted.values())
    given = take_numbers(connection, len(fresh), state.numbers)
    by_id = {**replaced, **dict(zip(fresh, given, strict=True))}
    numbers = [by_id[identifier] for identifier in put.ids]

    terms, new = _name_terms(connection, put.terms)
    keys, tfs = _write_documents(connection, put, numbers, terms)
    removed = old[~np.isin(old, keys, assume_unique=True)]
    added = ~np.isin(keys, old, assume_unique=True)
    _change_terms(connection, keys, tfs, added, removed, new)
    every = np.concatenate([keys, removed])
    counts = np.concatenate([tfs, np.zeros(len(removed), np.int64)])
    order = np.argsort(every, kind="stable")
    change_postings(connection, every[order], counts[order], set(new.values()))

    version = state.version + 1
    lengths = {
        **dict.fromkeys(deleted.values(), NONE),
        **dict(zip(numbers, put.lengths.tolist(), strict=True)),
    }
    write_lengths(
        connection, np.array(list(lengths), np.int64), np.array(list(lengths.values()), np.int64), version
    )
    connection.execute(
        "UPDATE state SET documents = documents + ?, length = length + ?, numbers = ?, version = ?, mark = ?",
        (
            len(fresh) - len(deleted),
            int(put.lengths.sum()) - int(contents.tfs.sum(dtype=np.int64)),
            max(state.numbers, max(given, default=-1) + 1),
            version,
            mark,
        ),
    )


def _name_terms(connection: sqlite3.Connection, terms: Sequence[str]) -> tuple[Ints, dict[bytes, int]]:
    """Ids of terms, and of those among them that are new, ascending."""
    stored = [encode(term) or b"" for term in terms]
    known = dict(select(connection, "term, id FROM terms", "term", stored))
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM terms").fetchone()
    new = {term: last + 1 + i for i, term in enumerate(term for term in stored if term not in known)}
    known.update(new)
    return np.array([known[term] for term in stored], np.int64), new


def _write_documents(
    connection: sqlite3.Connection, put: Put, numbers: Sequence[int], terms: Ints
) -> tuple[Ints, Ints]:
    """Store documents under their numbers; key and frequency of each of their postings, ascending by key.

    Args:
        connection: in a transaction.
        put: n documents.
        numbers: n, theirs.
        terms: ids of the terms.
    """
    owners = np.repeat(np.arange(len(numbers)), put.lengths)
    pairs, tfs = np.unique(owners << SHIFT | terms[put.words], return_counts=True)
    owners, ids = pairs >> SHIFT, pairs & _LOW
    raw_ids, ends = (
        ids.astype("<u4").tobytes(),
        np.cumsum(np.bincount(owners, minlength=len(numbers))).tolist(),
    )
    rows = [
        (number, identifier, raw_ids[4 * start : 4 * end], pack(tfs[start:end]))
        for number, identifier, start, end in zip(numbers, put.ids, [0, *ends], ends, strict=False)
    ]
    connection.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", rows)
    keys = ids << SHIFT | np.array(numbers, np.int64)[owners]
    order = np.argsort(keys, kind="stable")
    return keys[order], tfs[order]


def _change_terms(
    connection: sqlite3.Connection,
    keys: Ints,
    tfs: Ints,
    added: Any,
    removed: Ints,
    new: Mapping[bytes, int],
) -> None:
    """Count the documents of each term; new ones come, and those that have none left go."""
    owners = keys >> SHIFT
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    terms, most = owners[starts], np.maximum.reduceat(tfs, starts)
    more = np.add.reduceat(added, starts, dtype=np.int64)
    known = len(terms) - len(new)  # the ids of new ones are the last
    connection.executemany(
        "UPDATE terms SET df = df + ?, most = max(most, ?) WHERE id = ?",
        zip(more[:known].tolist(), most[:known].tolist(), terms[:known].tolist(), strict=True),
    )
    connection.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?)",
        zip(new.values(), new, more[known:].tolist(), most[known:].tolist(), strict=True),
    )
    lost, fewer = np.unique(removed >> SHIFT, return_counts=True)
    connection.executemany(
        "UPDATE terms SET df = df - ? WHERE id = ?", zip(fewer.tolist(), lost.tolist(), strict=True)
    )
    connection.executemany("DELETE FROM terms WHERE id = ? AND df = 0", [(term,) for term in lost.tolist()])
