"""A test collection in BEIR layout, one split of it, in memory."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from uec_retriever.corpus import Corpus, read_jsonl, read_queries
from uec_retriever.errors import CorpusError
from uec_retriever.utility_labeler.questions import read_split


@dataclass(frozen=True)
class Query:
    """A question of a split.

    Attributes:
        id: of the question.
        text: of the question.
        relevance: passage id -> grade.
        answers: acceptable ones; none if unknown.
        group: `metadata.group`, e.g. the paper that it is about.
    """

    id: str
    text: str
    relevance: Mapping[str, int]
    answers: tuple[str, ...] = ()
    group: str | None = None


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
    """

    name: str
    split: str
    ids: Sequence[str]
    texts: Sequence[str]
    groups: Sequence[str | None]
    queries: Sequence[Query]

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


def load_collection(folder: Path, split: str) -> Collection:
    """Read a collection.

    Raises:
        CorpusError: for a file that cannot be read, or qrels that name what is not there.
    """
    records = [d.record for d in Corpus(folder)]
    known = {r.id for r in records}
    texts = dict(read_queries(folder))
    details = {str(row.get("_id", row.get("id"))): row for _, row in read_jsonl(folder / "queries.jsonl")}
    queries = []
    for identifier, grades in sorted(read_split(folder, split).items()):
        if identifier not in texts:
            raise CorpusError(
                f"the {split} qrels name the query {identifier!r}, which is not in queries.jsonl"
            )
        if lost := [p for p in grades if p not in known]:
            raise CorpusError(f"the {split} qrels name the passage {lost[0]!r}, which is not in the corpus")
        if any(grade > 0 for grade in grades.values()):
            queries.append(_query(identifier, texts[identifier], grades, details[identifier]))
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
    )


def _query(identifier: str, text: str, grades: Mapping[str, int], row: Mapping[str, object]) -> Query:
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
    )
