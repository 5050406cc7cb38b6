"""Texts that belong to no class: which signal tells them from those that do?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import entr

from uec_retriever.evaluation.fitted import FittedExperts
from uec_retriever.evaluation.resampling import Rows, interval
from uec_retriever.gaussian import Array

_SAMPLES = 300


def out_of_scope(
    fitted: Mapping[str, FittedExperts],
    rows: Mapping[str, Sequence[int]],
    probabilities: Mapping[str, Mapping[str, Array]],
    seed: int,
) -> dict[str, dict[str, float]]:
    """AUROC of each signal, with a 95 % bootstrap interval over the texts of either kind.

    Args:
        fitted: structure -> experts over all texts.
        rows: positions of the texts of `train`, `test`, `strange` and `off topic`.
        probabilities: method -> what its probe says of `test` and `strange` texts, `[n, C]`.
        seed: of the bootstrap.

    Returns:
        signal -> AUROC, low, high: P(an out-of-scope text has more of it than one of a class). .5 tells nothing.
    """
    found = {}
    for name, (inside, outside) in signals(fitted, rows, probabilities).items():
        found[name] = auroc(inside, outside, seed)
    return found


def signals(
    fitted: Mapping[str, FittedExperts],
    rows: Mapping[str, Sequence[int]],
    probabilities: Mapping[str, Mapping[str, Array]],
) -> dict[str, tuple[Array, Array]]:
    """Signal -> its values of test texts and of strange ones; more of it is stranger."""
    both = [*rows["test"], *rows["strange"]]
    found: dict[str, Array] = {}
    for structure, experts in fitted.items():
        logs = np.stack([np.log(g.trace[both].astype(np.float64)) for g in experts.gaussians], axis=1)
        zeros = np.array([e.query_zero for e in experts.manifest.experts])
        for k, expert in enumerate(experts.manifest.experts):
            found[f"variance: {expert.label}, {structure}"] = logs[:, k]
        found[f"variance: mean of the experts, {structure}"] = (logs - zeros).mean(axis=1)
        pi = experts.coefficients()[both]
        found[f"entropy of the coefficients, {structure}"] = entr(pi).sum(axis=1)
    first = next(iter(fitted.values()))
    labels = [e.label for e in first.manifest.experts]
    nearest = np.stack([_nearest(g.mean, both, rows["train"]) for g in first.gaussians], axis=1)
    everyday = np.stack([_nearest(g.mean, both, rows["off topic"]) for g in first.gaussians], axis=1)
    for k, label in enumerate(labels):
        found[f"distance to train: {label}"] = -nearest[:, k]
    joint = _nearest(np.concatenate([g.mean for g in first.gaussians], axis=1), both, rows["train"])
    found["distance to train: uniform"] = -joint
    found["nearer to everyday questions than to train"] = (everyday - nearest).mean(axis=1)
    for method, told in probabilities.items():
        if any(method.endswith(ending) for ending in (", no coefficients", ", neither")):
            continue
        found[f"unsure probe: {method}"] = -np.concatenate([told["test"], told["strange"]]).max(axis=1)
    if len(labels) > 1:
        each = [np.concatenate([probabilities[e]["test"], probabilities[e]["strange"]]) for e in labels]
        found["disagreement of the experts' probes"] = jensen_shannon(each)
    tests = len(rows["test"])
    return {name: (values[:tests], values[tests:]) for name, values in found.items()}


def jensen_shannon(distributions: Sequence[Array]) -> Array:
    """`[n]` divergence of K distributions over C classes, in nats: entropy of the mean less mean of the entropies.

    Args:
        distributions: K times `[n, C]`, rows summing to 1.
    """
    mean = np.mean(distributions, axis=0)
    return np.asarray(entr(mean).sum(axis=1) - np.mean([entr(d).sum(axis=1) for d in distributions], axis=0))


def _nearest(vectors: Array, texts: Sequence[int], known: Sequence[int]) -> Array:
    """`[n]` highest dot product with a known text."""
    chunks = np.array_split(np.asarray(texts), max(1, len(texts) // 1024))
    return np.concatenate([(vectors[c] @ vectors[list(known)].T).max(axis=1) for c in chunks])


def auroc(inside: Array, outside: Array, seed: int) -> dict[str, float]:
    """P(a value outside is greater than one inside), ties counting half, with its 95 % bootstrap interval.

    Args:
        inside: `[n]` values of the negative class.
        outside: `[m]` values of the positive class.
        seed: of the draws, from either class by itself.
    """
    values, place = np.unique(np.concatenate([inside, outside]), return_inverse=True)
    ours, theirs = place[: len(inside)], place[len(inside) :]
    generator = np.random.default_rng(seed)

    def area(one: Rows, other: Rows) -> float:
        counts = np.bincount(one, minlength=len(values))
        below = np.cumsum(counts) - counts / 2
        return float(np.bincount(other, minlength=len(values)) @ below / (len(one) * len(other)))

    def again(places: Rows) -> Rows:
        return places[generator.integers(len(places), size=len(places))]

    found = interval(
        area(ours, theirs), np.array([area(again(ours), again(theirs)) for _ in range(_SAMPLES)])
    )
    return {"AUROC": found.mean, "low": found.low, "high": found.high}
