"""The methods that are compared: families, labels, kinds, and how each scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from uec_retriever.convolution import LAYOUTS
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.engine.ensemble import fuse_documents, fuse_queries
from uec_retriever.engine.recalibrate import TEMPERATURES
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection_encoder import EncodedCollection
from uec_retriever.evaluation.exact import Scorer
from uec_retriever.evaluation.expert_set import STRUCTURES
from uec_retriever.evaluation.hybrid import ALL_DENSE, CONVEX, WORDS, Hybrid
from uec_retriever.evaluation.oracles import ORACLE_DOMAIN, ORACLE_QUERY
from uec_retriever.experts.lexical import LexicalExpert, LexicalShare
from uec_retriever.gaussian import Array
from uec_retriever.similarity import moments, similarity
from uec_retriever.store.manifest import Manifest

FAMILIES = (
    "single", "uniform", "weighted", "rrf", "words", "hybrid", "merged", "diag", "kron", "sum", "ablation", "oracle",
)  # fmt: skip
TEMPERATURE_CHOICES = ("references", "train")
UNIFORM, WEIGHTED, RRF = "uniform", "weighted", "RRF"
# what is left out -> whether the similarity, and whether the coefficients are left
ABLATIONS = {"no similarity": (False, True), "no coefficients": (True, False), "neither": (False, False)}


@dataclass(frozen=True)
class UEC:
    """One way to put the method to use.

    Attributes:
        structure: of the posteriors, `diag` or `kron`.
        layout: `block` or `sum`.
        similarity: False ranks by E[s], the plain dot product.
        coefficients: False weighs all experts alike.
        temperature: T; None for the one that is chosen for structure and layout.
        prior: False leaves out the prior by held-out likelihood.
        words: how much trust words get, of which the dense experts divide the rest; None asks no words.
    """

    structure: str = "kron"
    layout: str = "block"
    similarity: bool = True
    coefficients: bool = True
    temperature: float | None = None
    prior: bool = True
    words: LexicalShare | None = None

    def __post_init__(self) -> None:
        if self.structure not in STRUCTURES or self.layout not in LAYOUTS:
            raise InvalidInputError(
                f"a UEC method has a structure of {STRUCTURES} and a layout of {LAYOUTS}, "
                f"not {self.structure!r} and {self.layout!r}"
            )

    @property
    def kind(self) -> str:
        """`uec`, or `ablation` where a part of the method is left out."""
        return "uec" if self.coefficients and self.similarity else "ablation"

    @property
    def whole(self) -> UEC:
        """With all its parts but words: methods with the same share a calibration."""
        return replace(self, coefficients=True, similarity=True, words=None)


@dataclass(frozen=True)
class RetrievalOptions:
    """What is compared, and how it is chosen.

    Attributes:
        methods: families of `FAMILIES`; `sum` and `ablation` go with `diag` and `kron`, and so does `words`, beside words
            alone; `hybrid` is words with dense experts as others fuse them.
        temperature: T of UEC; `references` chooses it by the references' likelihood (the package's rule), `train`
            by nDCG@10 on train queries, where there are any.
        temperatures: the grid of `train`.
        scopes: collection name -> `corpus` or `group`; `corpus` if absent.
        variants: label -> UEC method, beside those of the families.
        lexical: the expert of words.
        share: the trust in words of the family `words`.
        analyzer: what finds the words.
        hybrid_weights: label of a convex combination of `hybrid` -> the weight of words in it; chosen on train queries if
            absent, or 1/2 where there are none.
        pairs: at most this many pseudo-pairs of a corpus.
        train_queries: at most this many train queries of a set, a random sample.
        seed: of samples and bootstrap.
    """

    methods: Sequence[str] = FAMILIES
    temperature: float | str = "references"
    temperatures: Sequence[float] = TEMPERATURES
    scopes: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, UEC] = field(default_factory=dict)
    lexical: LexicalExpert = field(default_factory=LexicalExpert)
    share: LexicalShare = field(default_factory=LexicalShare)
    analyzer: WordAnalyzer = field(default_factory=WordAnalyzer)
    hybrid_weights: Mapping[str, float] = field(default_factory=dict)
    pairs: int = 640
    train_queries: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if unknown := [m for m in self.methods if m not in FAMILIES]:
            raise InvalidInputError(
                f"unknown methods {', '.join(unknown)}: choose from {', '.join(FAMILIES)}"
            )
        if isinstance(self.temperature, str) and self.temperature not in TEMPERATURE_CHOICES:
            raise InvalidInputError(
                f"temperature is a number or one of {', '.join(TEMPERATURE_CHOICES)}, not {self.temperature!r}"
            )
        if unknown := sorted(set(self.scopes.values()) - {"corpus", "group"}):
            raise InvalidInputError(f"a scope is corpus or group, not {', '.join(unknown)}")

    def structures(self) -> list[str]:
        """Which posteriors are needed."""
        wanted = [s for s in STRUCTURES if s in self.methods]
        return list(dict.fromkeys([*wanted, *(v.structure for v in self.variants.values())]))

    def asks_words(self) -> bool:
        """Whether any method needs them."""
        return bool({"words", "hybrid"} & set(self.methods)) or any(v.words for v in self.variants.values())

    def uec_methods(self, dimensions: Sequence[int]) -> dict[str, UEC]:
        """Label -> method, of the families and variants; the sum layout needs experts of equal dimensions."""
        structures = [s for s in STRUCTURES if s in self.methods]
        found = {f"UEC {s}": UEC(s) for s in structures}
        if "sum" in self.methods and len(set(dimensions)) == 1:
            found |= {f"UEC {s} sum": UEC(s, "sum") for s in structures}
        if "words" in self.methods:
            found |= {f"UEC {s} + {WORDS}": UEC(s, words=self.share) for s in structures}
        if "ablation" in self.methods:
            parts = {
                (s, name): UEC(s, "block", *left) for s in structures for name, left in ABLATIONS.items()
            }
            found |= {f"UEC {s}, {name}": method for (s, name), method in parts.items()}
        return {**found, **self.variants}

    def hybrids(self, experts: Sequence[str]) -> dict[str, Hybrid]:
        """Label -> method, of words with each dense expert and with all of them."""
        if "hybrid" not in self.methods:
            return {}
        dense = [*experts, ALL_DENSE] if len(experts) > 1 else list(experts)
        return {f"{way} {WORDS} + {one}": Hybrid(way, one) for way in (RRF, *CONVEX) for one in dense}

    def kinds(self, experts: Sequence[str], merged: Sequence[str], uec: Mapping[str, UEC]) -> dict[str, str]:
        """Label -> kind of everything that is reported, in the order of the table."""
        parts: dict[str, dict[str, str]] = {
            "single": dict.fromkeys(experts, "single"),
            "uniform": {UNIFORM: "ensemble"},
            "weighted": {WEIGHTED: "ensemble"},
            "rrf": {RRF: "fusion"},
            "words": {WORDS: "single"},
            "hybrid": dict.fromkeys(self.hybrids(experts), "fusion"),
            "merged": dict.fromkeys(merged, "merged"),
            "uec": {label: method.kind for label, method in uec.items()},
            "oracle": {ORACLE_DOMAIN: "oracle", ORACLE_QUERY: "oracle"},
        }
        shown = {*self.methods, "uniform", "uec"}  # uniform is the baseline of all differences
        return {
            label: kind for part, kinds in parts.items() if part in shown for label, kind in kinds.items()
        }


def weighted_cosines(encoded: EncodedCollection, weights: Array) -> Scorer:
    """`sum_k w_k cos_k`, the same weights `[K]` for every query."""
    return lambda rows: _combine(encoded.cosines(rows), weights[None])


def merged_cosines(encoded: EncodedCollection, label: str) -> Scorer:
    """The cosine of a merged model."""
    queries, documents = encoded.queries.merged[label], encoded.documents.merged[label]
    return lambda rows: queries[rows] @ documents.T


def uec_scorer(method: UEC, manifest: Manifest, encoded: EncodedCollection) -> tuple[Scorer, Array]:
    """How a UEC method scores a collection.

    In the block layout, with query blocks `pi_k mu_k, pi_k^2 Sigma_k` and unweighted documents, `E[s] = sum_k pi_k cos_k`
    and `Var[s] = sum_k pi_k^2 Var[s_k]`, from parts that every weighting shares. Words are one more block, beside
    either layout.

    Args:
        method: which parts of UEC are on.
        manifest: the experts calibrated for its structure and layout.
        encoded: the collection.

    Returns:
        The scorer and the queries' `[n, K]` coefficients; `[n, K + 1]` with words, which come last.

    Raises:
        InvalidInputError: if the method asks words and the collection was encoded without.
    """
    if not method.coefficients:  # infinite temperature and no prior: 1 / K each
        even = tuple(replace(e, prior=1 / len(manifest.experts)) for e in manifest.experts)
        manifest = replace(manifest, temperature=np.inf, experts=even)
    discount = method.similarity and manifest.informative
    mean, variance, pi = _dense_moments(method, manifest, encoded)
    if method.words is not None:
        mean, variance, share = _join_words(mean, variance, method.words, encoded)
        pi = np.column_stack([(1 - share[:, None]) * pi, share])

    def score(rows: slice) -> Array:
        return similarity(mean(rows), variance(rows))[0] if discount else mean(rows)

    return score, pi


def _dense_moments(
    method: UEC, manifest: Manifest, encoded: EncodedCollection
) -> tuple[Scorer, Scorer, Array]:
    """E[s] and Var[s] of the dense experts, and their coefficients."""
    queries, pi = fuse_queries(encoded.queries.gaussians[method.structure], manifest)
    if method.layout == "block":
        return (
            lambda rows: _combine(encoded.cosines(rows), pi[rows]),
            lambda rows: _combine(encoded.variances(rows, method.structure), pi[rows] ** 2),
            pi,
        )
    documents, _ = fuse_documents(encoded.documents.gaussians[method.structure], manifest)
    return (
        lambda rows: queries.mean[rows] @ documents.mean.T,
        lambda rows: moments(queries[rows], documents.bounded())[1],
        pi,
    )


def _join_words(
    mean: Scorer, variance: Scorer, words: LexicalShare, encoded: EncodedCollection
) -> tuple[Scorer, Scorer, Array]:
    """E[s] and Var[s] with words beside the dense experts, and `[n]` the share of words."""
    if encoded.words is None:
        raise InvalidInputError("the collection was encoded without words")
    share = words.of(encoded.words.queries)
    weights = np.stack([share, 1 - share], axis=1)
    return (
        lambda rows: _combine([encoded.lexical_moments(rows)[0], mean(rows)], weights[rows]),
        lambda rows: _combine([encoded.lexical_moments(rows)[1], variance(rows)], weights[rows] ** 2),
        share,
    )


def _combine(parts: Sequence[Array], weights: Array) -> Array:
    """`sum_k w[:, k] parts_k`, in the precision of the parts."""
    total = parts[0] * weights[:, :1].astype(parts[0].dtype)
    for k, part in enumerate(parts[1:], start=1):
        total += part * weights[:, k : k + 1].astype(part.dtype)
    return total
