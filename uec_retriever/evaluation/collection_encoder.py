"""Texts as several experts see them, and a collection's queries against its documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from uec_retriever.data.words import WordAnalyzer
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.encoding_cache import SHARD, CachedExpert
from uec_retriever.evaluation.expert_set import ExpertSet
from uec_retriever.evaluation.stopwatch import Stopwatch
from uec_retriever.evaluation.words import CountedPassages, EncodedWords
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.head import Linearised, Role
from uec_retriever.experts.lexical import LexicalExpert
from uec_retriever.gaussian import Array, GaussianEmbedding, lengths
from uec_retriever.similarity import moments


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """n texts as K experts see them.

    Attributes:
        means: per expert, `[n, D_k]` unit vectors, float32.
        gaussians: structure -> per expert, n Gaussians with these means.
        merged: label of a merged model -> `[n, D]` unit vectors.
    """

    means: Sequence[Array]
    gaussians: Mapping[str, Sequence[GaussianEmbedding]]
    merged: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class EncodedCollection:
    """A collection's queries and documents; what a block of queries has been scored by is kept for the next method.

    Attributes:
        queries: n of them.
        documents: m of them.
        watch: counts the stages `cosines`, `similarity ...` and `words`.
        words: both sides as the lexical expert sees them, if it is asked at all.
    """

    queries: EncodedTexts
    documents: EncodedTexts
    watch: Stopwatch = field(default_factory=Stopwatch)
    words: EncodedWords | None = None
    _kept: dict[str, tuple[slice, list[Array]]] = field(default_factory=dict)

    def cosines(self, rows: slice) -> list[Array]:
        """Per expert, `[b, m]` cosines of the means of some queries with all documents."""
        pairs = zip(self.queries.means, self.documents.means, strict=True)
        return self._keep(rows, "cosines", lambda: [q[rows] @ d.T for q, d in pairs])

    def cosine_of(self, expert: int) -> Callable[[slice], Array]:
        """The scorer by one expert's cosine."""
        return lambda rows: self.cosines(rows)[expert]

    def variances(self, rows: slice, structure: str) -> list[Array]:
        """Per expert, `[b, m]` Var[s] of its own similarity, of bounded variances and before any weighting."""
        pairs = zip(*(side.gaussians[structure] for side in (self.queries, self.documents)), strict=True)
        stage = f"similarity {structure}"
        return self._keep(rows, stage, lambda: [moments(q[rows].bounded(), d.bounded())[1] for q, d in pairs])

    def with_words(self, words: EncodedWords) -> EncodedCollection:
        """The same collection under another lexical expert; what dense experts have scored is kept."""
        return replace(self, words=words, _kept={k: v for k, v in self._kept.items() if k != "words"})

    def lexical_moments(self, rows: slice) -> list[Array]:
        """`[b, m]` mean and variance of the lexical similarity of some queries with all documents.

        Raises:
            InvalidInputError: if the collection was encoded without words.
        """
        if self.words is None:
            raise InvalidInputError("the collection was encoded without words")
        words = self.words
        return self._keep(rows, "words", lambda: list(words.moments(rows)))

    def _keep(self, rows: slice, stage: str, compute: Callable[[], list[Array]]) -> list[Array]:
        if stage not in self._kept or self._kept[stage][0] != rows:
            self._kept.pop(stage, None)  # free the memory first
            with self.watch(stage):
                self._kept[stage] = (rows, compute())
        return self._kept[stage][1]


class CollectionEncoder:
    """Encodes collections; remembers the documents of the last corpus.

    Args:
        experts: with posteriors.
        structures: of the posteriors that are needed.
        merged: label -> model that is only searched with by cosine.
        lexical: the expert of words, with what finds them; none if words are not asked.
    """

    def __init__(
        self,
        experts: ExpertSet,
        structures: Sequence[str],
        merged: Mapping[str, Expert] | None = None,
        lexical: tuple[LexicalExpert, WordAnalyzer] | None = None,
    ) -> None:
        self._experts = experts
        self._structures = tuple(structures)
        self._merged = dict(merged or {})
        self._lexical = lexical
        self._last: tuple[list[str], EncodedTexts, dict[str, float]] | None = None
        self._counted: tuple[list[str], CountedPassages] | None = None

    def encode(self, collection: Collection) -> EncodedCollection:
        """Queries and documents under all structures; the seconds of either in the result's watch."""
        texts = list(collection.texts)
        if self._last is None or self._last[0] != texts:
            self._last = None  # free the memory first
            watch = Stopwatch()
            documents = encode_texts(self._experts, texts, "document", self._structures, self._merged, watch)
            self._last = (texts, documents, watch.seconds)
        watch = Stopwatch()
        watch.seconds.update(self._last[2])
        queries = [q.text for q in collection.queries]
        encoded = encode_texts(self._experts, queries, "query", self._structures, self._merged, watch)
        return EncodedCollection(encoded, self._last[1], watch, self._encode_words(texts, queries, watch))

    def encode_means(self, collection: Collection) -> EncodedCollection:
        """Unit means only, for methods without uncertainty; nothing is remembered."""
        queries = [q.text for q in collection.queries]
        return EncodedCollection(
            encode_texts(self._experts, queries, "query"),
            encode_texts(self._experts, list(collection.texts), "document"),
        )

    def _encode_words(
        self, texts: list[str], queries: Sequence[str], watch: Stopwatch
    ) -> EncodedWords | None:
        if self._lexical is None:
            return None
        expert, analyzer = self._lexical
        with watch("encode words"):
            if self._counted is None or self._counted[0] != texts:
                self._counted = (texts, CountedPassages.count(texts, analyzer))
            return EncodedWords.encode(expert, self._counted[1], queries)


def encode_texts(
    experts: ExpertSet,
    texts: Sequence[str],
    role: Role,
    structures: Sequence[str] = (),
    merged: Mapping[str, Expert] | None = None,
    watch: Stopwatch | None = None,
) -> EncodedTexts:
    """Texts under each structure, from one forward pass of each expert.

    Args:
        experts: with posteriors of the structures.
        texts: n >= 1.
        role: of the texts.
        structures: none for the means alone.
        merged: label -> model that gives means only.
        watch: counts the stages `encode ...` and `variances ...`.

    Raises:
        NumericalError: for an embedding without direction.
    """
    if not texts:
        raise InvalidInputError(f"there are no texts to encode as {role}: give at least one")
    watch = watch or Stopwatch()
    means: list[Array] = []
    gaussians: dict[str, list[GaussianEmbedding]] = {s: [] for s in structures}
    for k, expert in enumerate(experts.experts):
        parts: dict[str, list[GaussianEmbedding]] = {s: [] for s in structures}
        units: list[Array] = []
        for start in range(0, len(texts), SHARD):
            with _time_encoding(expert, role, watch):
                chunk = expert.linearise(list(texts[start : start + SHARD]), role)
            units.append(_unit(chunk, expert, start))
            for structure in structures:
                with watch(f"variances {structure}"):
                    parts[structure].append(experts.under(structure)[k].gaussian(chunk, first=start))
        means.append(np.concatenate(units))
        for structure, found in parts.items():  # the means are alike: one copy of them
            spread = GaussianEmbedding.concatenate(found).spread
            gaussians[structure].append(GaussianEmbedding(means[-1], spread))
    others = {label: unit_means(e, texts, role) for label, e in (merged or {}).items()}
    return EncodedTexts(means, gaussians, others)


def unit_means(expert: Expert, texts: Sequence[str], role: Role) -> Array:
    """`[n, D]` unit embeddings, float32, of an expert that needs no posterior for them.

    Raises:
        NumericalError: for an embedding without direction.
    """
    starts = range(0, len(texts), SHARD)
    chunks = (expert.linearise(list(texts[start : start + SHARD]), role) for start in starts)
    return np.concatenate([_unit(c, expert, start) for c, start in zip(chunks, starts, strict=True)])


def _unit(texts: Linearised, expert: Expert, first: int) -> Array:
    vectors = texts.embeddings.numpy()
    return np.asarray(vectors / lengths(vectors, owner=f"expert {expert.label}", first=first))


@contextmanager
def _time_encoding(expert: Expert, role: Role, watch: Stopwatch) -> Iterator[None]:
    """Time forward passes: now, or when a cache made them."""
    stage = "encode queries" if role == "query" else "encode documents"
    if not isinstance(expert, CachedExpert):
        with watch(stage):
            yield
        return
    before = expert.seconds[role]
    yield
    watch.add(stage, expert.seconds[role] - before)
