"""A test collection in BEIR layout, one split of it, in memory; several joined into one corpus."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from uec_retriever.data.corpus import Corpus, read_jsonl, read_queries
from uec_retriever.data.qrels import read_split
from uec_retriever.errors import CorpusError


@dataclass(frozen=True)
class Query:
    """A question of a split.

    Attributes:
        id: of the question.
        text: of the question.
        relevance: passage id -> grade.
        answers: acceptable ones; none if unknown.
        group: `metadata.group`, e.g. the paper that it is about.
        excluded: passage ids that its ranking must leave out (`exclude.tsv`).
        domain: the collection that it came from, in a merged one.
    """

    id: str
    text: str
    relevance: Mapping[str, float]
    answers: tuple[str, ...] = ()
    group: str | None = None
    excluded: frozenset[str] = frozenset()
    domain: str | None = None


@dataclass(frozen=True)
class Collection:
    """Passages and questions.

    Attributes:
        name: of the folder.
        split: of the qrels.
        ids: of the passages.
        texts: of the passages, title and body joined.
        groups: of the passages.
        queries: in the order of their ids.
        titles: of the passages, empty where one has none; none at all if unknown.
    """

    name: str
    split: str
    ids: Sequence[str]
    texts: Sequence[str]
    groups: Sequence[str | None]
    queries: Sequence[Query]
    titles: Sequence[str] = ()

    @cached_property
    def positions(self) -> dict[str, int]:
        """Passage id -> its position."""
        return {identifier: i for i, identifier in enumerate(self.ids)}

    @property
    def bodies(self) -> list[str]:
        """The texts without the titles that were put before them."""
        if not self.titles:
            return list(self.texts)
        return [x.removeprefix(t.strip()).strip() for t, x in zip(self.titles, self.texts, strict=True)]

    @property
    def domains(self) -> list[str]:
        """Domains of its queries, in order of appearance; its name for queries without one."""
        return list(dict.fromkeys(q.domain or self.name for q in self.queries))

    @cached_property
    def members(self) -> dict[str, list[int]]:
        """Group -> positions of its passages."""
        found: dict[str, list[int]] = {}
        for i, group in enumerate(self.groups):
            if group is not None:
                found.setdefault(group, []).append(i)
        return found

    @property
    def is_grouped(self) -> bool:
        """Whether each question can be asked inside its group."""
        return bool(self.queries) and all(q.group in self.members for q in self.queries)

    def pool(self, query: Query, scope: str) -> list[int] | None:
        """Positions a query is asked in: None for the whole corpus, else those of its group."""
        if scope == "corpus":
            return None
        if query.group is None or query.group not in self.members:
            raise CorpusError(f"query {query.id!r} has no passages of its group in the corpus of {self.name}")
        return self.members[query.group]

    def sample(self, number: int | None, seed: int) -> Collection:
        """At most `number` of the questions, drawn at random; the corpus stays whole."""
        if number is None or number >= len(self.queries):
            return self
        chosen = sorted(random.Random(seed).sample(range(len(self.queries)), number))
        return replace(self, queries=[self.queries[i] for i in chosen])

    def shorten(self, number: int | None) -> Collection:
        """At most `number` passages where its queries' relevant ones allow: these, and the first others."""
        if number is None or number >= len(self.ids):
            return self
        wanted = {p for q in self.queries for p, g in q.relevance.items() if g > 0 and p in self.positions}
        spare = max(0, number - len(wanted))
        others = [i for i, identifier in enumerate(self.ids) if identifier not in wanted][:spare]
        kept = sorted([*others, *(self.positions[p] for p in wanted)])
        return replace(
            self,
            ids=[self.ids[i] for i in kept],
            texts=[self.texts[i] for i in kept],
            groups=[self.groups[i] for i in kept],
            titles=[self.titles[i] for i in kept] if self.titles else (),
        )

    def by_domain(self) -> list[Collection]:
        """One collection for the queries of each domain, all over the very same corpus."""
        return [
            replace(
                self,
                name=f"{domain} in {self.name}",
                queries=[q for q in self.queries if (q.domain or self.name) == domain],
            )
            for domain in self.domains
        ]


def load_collection(folder: Path, split: str) -> Collection:
    """Read a collection.

    Raises:
        CorpusError: for a file that cannot be read, or qrels that name what is not there.
    """
    texts = dict(read_queries(folder))  # first: it takes less time to find out that there are none
    corpus = Corpus(folder)
    documents = list(corpus)
    records = [d.record for d in documents]
    known = {
        *(r.id for r in records),
        *corpus.skipped,
    }  # judged passages without text cannot be found: a miss
    details = {str(row.get("_id", row.get("id"))): row for _, row in read_jsonl(folder / "queries.jsonl")}
    excluded = _read_excluded(folder)
    queries = []
    for identifier, grades in sorted(read_split(folder, split).items()):
        if identifier not in texts:
            raise CorpusError(
                f"the {split} qrels name the query {identifier!r}, which is not in queries.jsonl"
            )
        if lost := [p for p in grades if p not in known]:
            raise CorpusError(f"the {split} qrels name the passage {lost[0]!r}, which is not in the corpus")
        if any(grade > 0 for grade in grades.values()):
            barred = frozenset(excluded.get(identifier, ()))
            queries.append(_query(identifier, texts[identifier], grades, details[identifier], barred))
    if not queries:
        raise CorpusError(f"the {split} qrels of {folder} hold no relevant passage")
    groups = [r.metadata.get("group") for r in records]
    return Collection(
        folder.resolve().name,
        split,
        [r.id for r in records],
        [r.text for r in records],
        [None if g is None else str(g) for g in groups],
        queries,
        [d.title for d in documents],
    )


def merge_collections(collections: Sequence[Collection], name: str = "merged") -> Collection:
    """One corpus out of several; each query keeps where it came from as its domain.

    Ids and groups of passages and the ids of queries get the collection's name and a slash before them.

    Raises:
        CorpusError: for no collections, or two of one name.
    """
    names = [c.name for c in collections]
    if not names or len(set(names)) < len(names):
        raise CorpusError(f"collections to merge need names of their own, got {names or 'none'}")
    whole = Collection(
        name,
        "+".join(dict.fromkeys(c.split for c in collections)),
        [f"{c.name}/{i}" for c in collections for i in c.ids],
        [text for c in collections for text in c.texts],
        [None if g is None else f"{c.name}/{g}" for c in collections for g in c.groups],
        [],
        [title for c in collections for title in (c.titles or [""] * len(c.ids))],
    )
    return with_queries(whole, collections)


def with_queries(merged: Collection, collections: Sequence[Collection]) -> Collection:
    """The same merged corpus with the queries of these collections, say other splits of those it is made of.

    Raises:
        CorpusError: if none of a query's passages is in the merged corpus.
    """
    queries = [_rename(q, c.name) for c in collections for q in c.queries]
    for query in queries:
        if merged.positions.keys().isdisjoint(query.relevance):
            raise CorpusError(
                f"no passage of the query {query.id!r} is in {merged.name}: merge its corpus too"
            )
    split = "+".join(dict.fromkeys(c.split for c in collections))
    return replace(merged, split=split, queries=queries)


def _rename(query: Query, name: str) -> Query:
    return replace(
        query,
        id=f"{name}/{query.id}",
        relevance={f"{name}/{p}": grade for p, grade in query.relevance.items()},
        group=None if query.group is None else f"{name}/{query.group}",
        excluded=frozenset(f"{name}/{p}" for p in query.excluded),
        domain=query.domain or name,
    )


def _read_excluded(folder: Path) -> dict[str, set[str]]:
    """Query id -> passage ids, of `exclude.tsv`, which needs not be there."""
    path = folder / "exclude.tsv"
    found: dict[str, set[str]] = {}
    if not path.is_file():
        return found
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        row = line.removesuffix("\r").split("\t")
        if len(row) > 1:
            found.setdefault(row[0], set()).add(row[1])
        elif line.strip():
            raise CorpusError(f"{path}, line {number}: not query-id and corpus-id, separated by a tab")
    return found


def _query(
    identifier: str,
    text: str,
    grades: Mapping[str, float],
    row: Mapping[str, object],
    excluded: frozenset[str],
) -> Query:
    nested = row.get("metadata")
    found = {**row, **(nested if isinstance(nested, dict) else {})}
    several = found.get("answers")
    answers = [*(several if isinstance(several, list) else []), found.get("answer")]
    group = found.get("group")
    return Query(
        identifier,
        text,
        grades,
        tuple(dict.fromkeys(a for a in answers if isinstance(a, str) and a.strip())),
        None if group is None else str(group),
        excluded,
    )
