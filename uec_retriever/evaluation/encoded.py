"""A collection as several experts see it: unit means, and Gaussians under each structure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.encoding import SHARD, CachedExpert, unit_means
from uec_retriever.evaluation.members import Member
from uec_retriever.experts.expert import Expert, Role
from uec_retriever.gaussian import Array, GaussianEmbedding


class Stopwatch:
    """Seconds by stage; what a stage spends inside another one counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a block."""
        self._inner.append(0.0)
        begun = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - begun
            self.add(stage, elapsed - self._inner.pop())
            self._inner[-1] += elapsed

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


@dataclass(frozen=True, eq=False)
class Side:
    """Texts of one role as K experts see them.

    Attributes:
        means: per expert, `[n, D_k]` unit vectors, float32.
        gaussians: structure -> per expert, n Gaussians with these means.
        merged: label of a merged model -> `[n, D]` unit vectors.
        stages: what it took.
    """

    means: Sequence[Array]
    gaussians: Mapping[str, Sequence[GaussianEmbedding]]
    merged: Mapping[str, Array] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Encoded:
    """A collection: its queries and documents."""

    queries: Side
    documents: Side


class CollectionEncoder:
    """Encodes collections; remembers the documents of the last corpus.

    Args:
        members: the experts.
        structures: of the posteriors that are needed.
        merged: label -> model that is only searched with by cosine.
    """

    def __init__(
        self, members: Sequence[Member], structures: Sequence[str], merged: Mapping[str, Expert] | None = None
    ) -> None:
        self._members = members
        self._structures = tuple(structures)
        self._merged = dict(merged or {})
        self._last: tuple[list[str], Side] | None = None

    def encode(self, collection: Collection) -> Encoded:
        """Queries and documents under all structures."""
        texts = list(collection.texts)
        if self._last is None or self._last[0] != texts:
            self._last = None  # free the memory first
            self._last = (texts, self._side(texts, "document", self._structures))
        queries = [q.text for q in collection.queries]
        return Encoded(self._side(queries, "query", self._structures), self._last[1])

    def encode_means(self, collection: Collection) -> Encoded:
        """Unit means only, for methods without uncertainty; nothing is remembered."""
        queries = [q.text for q in collection.queries]
        return Encoded(self._side(queries, "query", ()), self._side(list(collection.texts), "document", ()))

    def _side(self, texts: list[str], role: Role, structures: Sequence[str]) -> Side:
        watch = Stopwatch()
        means: list[Array] = []
        gaussians: dict[str, list[GaussianEmbedding]] = {s: [] for s in structures}
        for member in self._members:
            found = _gaussians(member, texts, role, structures, watch)
            if found:
                means.append(next(iter(found.values())).mean)
            else:
                with _encoding(member.expert, role, watch):
                    means.append(unit_means(member.expert, texts, role))
            for structure, gaussian in found.items():  # the means are alike: one copy of them
                gaussians[structure].append(GaussianEmbedding(means[-1], gaussian.spread))
        merged = {label: unit_means(e, texts, role) for label, e in self._merged.items()}
        return Side(means, gaussians, merged, watch.seconds)


def _gaussians(
    member: Member, texts: Sequence[str], role: Role, structures: Sequence[str], watch: Stopwatch
) -> dict[str, GaussianEmbedding]:
    """Structure -> Gaussians, from one pass over the texts."""
    parts: dict[str, list[GaussianEmbedding]] = {s: [] for s in structures}
    experts = {s: member.under(s) for s in structures}
    for start in range(0, len(texts) if structures else 0, SHARD):
        with _encoding(member.expert, role, watch):
            chunk = member.expert.linearise(list(texts[start : start + SHARD]), role)
        for structure, expert in experts.items():
            with watch(f"variances {structure}"):
                parts[structure].append(expert.gaussian(chunk, first=start))
    return {s: GaussianEmbedding.concatenate(p) for s, p in parts.items()}


@contextmanager
def _encoding(expert: Expert, role: Role, watch: Stopwatch) -> Iterator[None]:
    """Time forward passes: now, or when a cache made them."""
    stage = "encode queries" if role == "query" else "encode documents"
    if not isinstance(expert, CachedExpert):
        with watch(stage):
            yield
        return
    before = expert.seconds[role]
    yield
    watch.add(stage, expert.seconds[role] - before)
