"""The engines of `benchmarks.lexical_engines`, each behind the same few calls."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.lexical_text import K1, VOCABULARY, B

_BUDGET, _CANDIDATES = 20_000, 300
_NAMES = [f"w{i}" for i in range(VOCABULARY)]
_Chunks = Iterator[tuple[int, list[Any]]]


class Engine(Protocol):
    """An inverted index in a folder. Words and passages are numbers."""

    def __init__(self, folder: Path) -> None:
        """Open; made if absent."""

    def fill(self, chunks: _Chunks) -> None:
        """Index all passages."""

    def prepare(self, df: Any, size: int, average: float) -> None:
        """Take statistics that the engine itself cannot tell."""

    def search(self, words: list[int], limit: int) -> list[int]:
        """Numbers of the best passages, best first."""

    def add(self, number: int, words: list[int]) -> None:
        """Add one passage and commit."""

    def delete(self, number: int) -> None:
        """Delete one passage and commit."""

    def df(self, word: int) -> int:
        """How many passages have the word, as the engine tells."""


class Fts5:
    """SQLite's FTS5 with all words of the query, ranked by its bm25()."""

    def __init__(self, folder: Path) -> None:
        self.rows = sqlite3.connect(folder / "fts5.sqlite3", isolation_level=None)
        self.rows.execute("PRAGMA journal_mode=WAL")
        self.rows.execute(
            'CREATE VIRTUAL TABLE IF NOT EXISTS t USING fts5(text, detail=none, tokenize="unicode61")'
        )
        self.rows.execute("CREATE VIRTUAL TABLE IF NOT EXISTS v USING fts5vocab(t, 'row')")

    def fill(self, chunks: _Chunks) -> None:  # noqa: D102
        for start, texts in chunks:
            self.rows.execute("BEGIN")
            named = ((start + i, " ".join([_NAMES[w] for w in t.tolist()])) for i, t in enumerate(texts))
            self.rows.executemany("INSERT INTO t (rowid, text) VALUES (?, ?)", named)
            self.rows.execute("COMMIT")

    def prepare(self, df: Any, size: int, average: float) -> None:  # noqa: D102
        self.known, self.idf, self.average = df, np.log1p((size - df + 0.5) / (df + 0.5)), average

    def search(self, words: list[int], limit: int) -> list[int]:  # noqa: D102
        match = " OR ".join(f'"{_NAMES[w]}"' for w in words)
        found = self.rows.execute("SELECT rowid FROM t WHERE t MATCH ? ORDER BY rank LIMIT ?", (match, limit))
        return [row for (row,) in found]

    def add(self, number: int, words: list[int]) -> None:  # noqa: D102
        text = " ".join(_NAMES[w] for w in words)
        self.rows.execute("INSERT INTO t (rowid, text) VALUES (?, ?)", (number, text))

    def delete(self, number: int) -> None:  # noqa: D102
        self.rows.execute("DELETE FROM t WHERE rowid = ?", (number,))

    def df(self, word: int) -> int:  # noqa: D102
        row = self.rows.execute("SELECT doc FROM v WHERE term = ?", (_NAMES[word],)).fetchone()
        return row[0] if row else 0


class Fts5Pruned(Fts5):
    """Only the rarest words generate candidates, until they have 20,000 postings; 300 are scored exactly."""

    def search(self, words: list[int], limit: int) -> list[int]:  # noqa: D102
        ordered = sorted(words, key=lambda w: self.known[w])
        spent = np.cumsum([self.known[w] for w in ordered])
        rare = ordered[: max(1, int((spent <= _BUDGET).sum()))]
        match = " OR ".join(f'"{_NAMES[w]}"' for w in rare)
        found = self.rows.execute(
            "SELECT rowid, text FROM t WHERE t MATCH ? ORDER BY rank LIMIT ?", (match, _CANDIDATES)
        )
        scores = {}
        for row, text in found:
            terms = text.split()
            counts, norm = Counter(terms), K1 * (1 - B + B * len(terms) / self.average)
            scores[row] = sum(self.idf[w] * counts[_NAMES[w]] / (counts[_NAMES[w]] + norm) for w in words)
        return sorted(scores, key=lambda row: -scores[row])[:limit]


class Tantivy:
    """tantivy: a boolean query of its terms, by block-max WAND."""

    def __init__(self, folder: Path) -> None:
        import tantivy

        self.library: Any = tantivy
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
        schema.add_unsigned_field("number", indexed=True, fast=True)
        (folder / "tantivy").mkdir(exist_ok=True)
        self.schema = schema.build()
        self.index = tantivy.Index(self.schema, path=str(folder / "tantivy"))
        self.writer: Any = None
        self.searcher = self.index.searcher()

    def fill(self, chunks: _Chunks) -> None:  # noqa: D102
        self.writer = self.index.writer(heap_size=256_000_000, num_threads=1)
        for start, texts in chunks:
            for i, words in enumerate(texts):
                self._put(start + i, words.tolist())
        self.writer.commit()
        self.writer.wait_merging_threads()
        self.writer = None

    def _put(self, number: int, words: list[int]) -> None:
        document = self.library.Document()
        document.add_unsigned("number", number)
        document.add_text("text", " ".join([_NAMES[w] for w in words]))
        self.writer.add_document(document)

    def prepare(self, df: Any, size: int, average: float) -> None:  # noqa: D102
        pass

    def search(self, words: list[int], limit: int) -> list[int]:  # noqa: D102
        library = self.library
        clauses = [
            (library.Occur.Should, library.Query.term_query(self.schema, "text", _NAMES[w])) for w in words
        ]
        hits = self.searcher.search(library.Query.boolean_query(clauses), limit, count=False).hits
        return [
            int(n or 0) for n in self.searcher.fast_field_values("number", [address for _, address in hits])
        ]

    def _commit(self) -> None:
        self.writer.commit()
        self.index.reload()
        self.searcher = self.index.searcher()

    def add(self, number: int, words: list[int]) -> None:  # noqa: D102
        self.writer = self.writer or self.index.writer(heap_size=50_000_000, num_threads=1)
        self._put(number, words)
        self._commit()

    def delete(self, number: int) -> None:  # noqa: D102
        self.writer = self.writer or self.index.writer(heap_size=50_000_000, num_threads=1)
        self.writer.delete_documents("number", number)
        self._commit()

    def df(self, word: int) -> int:  # noqa: D102
        return int(self.searcher.doc_freq("text", _NAMES[word]))


class Bm25s:
    """bm25s, which holds every score ready: the yardstick of speed. It cannot add or delete."""

    def __init__(self, folder: Path) -> None:
        import bm25s

        self.folder = folder / "bm25s"
        self.index: Any = (
            bm25s.BM25.load(self.folder, mmap=True, show_progress=False)
            if self.folder.exists()
            else bm25s.BM25(k1=K1, b=B, method="lucene")
        )

    def fill(self, chunks: _Chunks) -> None:  # noqa: D102
        import bm25s

        texts = [words.tolist() for _, part in chunks for words in part]
        vocabulary = {name: i for i, name in enumerate(_NAMES)}
        self.index.index(bm25s.tokenization.Tokenized(texts, vocabulary), show_progress=False)
        self.index.save(self.folder, show_progress=False)

    def prepare(self, df: Any, size: int, average: float) -> None:  # noqa: D102
        pass

    def search(self, words: list[int], limit: int) -> list[int]:  # noqa: D102
        found = self.index.retrieve([[_NAMES[w] for w in words]], k=limit, show_progress=False)
        return [int(n) for n in found.documents[0]]

    def add(self, number: int, words: list[int]) -> None:  # noqa: D102
        raise NotImplementedError

    def delete(self, number: int) -> None:  # noqa: D102
        raise NotImplementedError

    def df(self, word: int) -> int:  # noqa: D102
        raise NotImplementedError


class Blocks:
    """Ours: postings as numpy arrays in the rows of an SQLite file, and MaxScore."""

    def __init__(self, folder: Path) -> None:
        from uec_retriever.store.lexical import LexicalIndex

        self.index = LexicalIndex.open(folder / "words.sqlite3", {})

    def fill(self, chunks: _Chunks) -> None:  # noqa: D102
        for start, texts in chunks:
            named = ((f"{start + i:09}", [_NAMES[w] for w in t.tolist()]) for i, t in enumerate(texts))
            while part := dict(islice(named, 2_500)):
                self.index.change(part, (), mark="")

    def prepare(self, df: Any, size: int, average: float) -> None:  # noqa: D102
        pass

    def search(self, words: list[int], limit: int) -> list[int]:  # noqa: D102
        names = [_NAMES[w] for w in words]
        size, _, df = self.index.statistics(names)
        weights = np.log1p((size - df + 0.5) / (df + 0.5)).tolist()
        found = self.index.search(dict(zip(names, weights, strict=True)), limit, K1, B)
        return [int(identifier) for identifier, _ in found]

    def add(self, number: int, words: list[int]) -> None:  # noqa: D102
        self.index.change({f"{number:09}": [_NAMES[w] for w in words]}, (), mark="")

    def delete(self, number: int) -> None:  # noqa: D102
        self.index.change({}, [f"{number:09}"], mark="")

    def df(self, word: int) -> int:  # noqa: D102
        return int(self.index.statistics([_NAMES[word]])[2][0])


ENGINES: dict[str, type[Engine]] = {
    "FTS5": Fts5,
    "FTS5, pruned": Fts5Pruned,
    "tantivy": Tantivy,
    "bm25s": Bm25s,
    "blocks": Blocks,
}
