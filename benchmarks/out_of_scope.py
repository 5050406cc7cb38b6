"""Texts that belong to no class: which signal tells them from those that do?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import entr

from uec_retriever.engine.ensemble import fuse_queries
from uec_retriever.evaluation.bootstrap import interval, resample
from uec_retriever.evaluation.collection_encoder import EncodedTexts
from uec_retriever.evaluation.metrics import auroc
from uec_retriever.gaussian import Array
from uec_retriever.store.manifest import Manifest

_SAMPLES = 300


def out_of_scope(
    texts: EncodedTexts,
    manifests: Mapping[str, Manifest],
    rows: Mapping[str, Sequence[int]],
    probabilities: Mapping[str, Array],
    seed: int,
) -> dict[str, dict[str, float]]:
    """AUROC of each signal, with a 95 % bootstrap interval over all texts.

    Args:
        texts: all of them, under the structures of the manifests.
        manifests: structure -> its calibration.
        rows: positions of the texts of `train`, `test`, `strange` and `off topic`.
        probabilities: method -> what its probe says of `test` and then `strange` texts, `[n, C]`.
        seed: of the bootstrap.

    Returns:
        signal -> AUROC, low, high: P(an out-of-scope text has more of it than one of a class). .5 tells nothing.
    """
    strange = np.repeat([False, True], [len(rows["test"]), len(rows["strange"])])
    found = _signals(texts, manifests, rows, probabilities)
    values = np.stack(list(found.values()), axis=1)
    draws = resample(lambda chosen: auroc(values[chosen], strange[chosen]), len(strange), seed, _SAMPLES)
    cells = [interval(value, draws[:, k]) for k, value in enumerate(auroc(values, strange))]
    return {
        name: {"AUROC": cell.mean, "low": cell.low, "high": cell.high}
        for name, cell in zip(found, cells, strict=True)
    }


def jensen_shannon(distributions: Sequence[Array]) -> Array:
    """`[n]` divergence of K distributions over C classes, in nats: entropy of the mean less mean of the entropies.

    Args:
        distributions: K times `[n, C]`, rows summing to 1.
    """
    mean = np.mean(distributions, axis=0)
    return np.asarray(entr(mean).sum(axis=1) - np.mean([entr(d).sum(axis=1) for d in distributions], axis=0))


def _signals(
    texts: EncodedTexts,
    manifests: Mapping[str, Manifest],
    rows: Mapping[str, Sequence[int]],
    probabilities: Mapping[str, Array],
) -> dict[str, Array]:
    """Signal -> its values of test texts and of strange ones; more of it is stranger."""
    both = [*rows["test"], *rows["strange"]]
    found: dict[str, Array] = {}
    labels: list[str] = []
    for structure, manifest in manifests.items():
        gaussians = [g[both] for g in texts.gaussians[structure]]
        logs = np.stack([np.log(g.trace.astype(np.float64)) for g in gaussians], axis=1)
        labels = [e.label for e in manifest.experts]
        found |= {f"variance: {label}, {structure}": logs[:, k] for k, label in enumerate(labels)}
        zeros = np.array([e.query_zero for e in manifest.experts])
        found[f"variance: mean of the experts, {structure}"] = (logs - zeros).mean(axis=1)
        _, pi = fuse_queries(gaussians, manifest)
        found[f"entropy of the coefficients, {structure}"] = entr(pi).sum(axis=1)
    nearest, everyday = (
        np.stack([_nearest(means, both, rows[known]) for means in texts.means], axis=1)
        for known in ("train", "off topic")
    )
    found |= {f"distance to train: {label}": -nearest[:, k] for k, label in enumerate(labels)}
    found["distance to train: uniform"] = -_nearest(np.concatenate(texts.means, axis=1), both, rows["train"])
    found["nearer to everyday questions than to train"] = (everyday - nearest).mean(axis=1)
    for method, told in probabilities.items():
        if not method.endswith((", no coefficients", ", neither")):
            found[f"unsure probe: {method}"] = -told.max(axis=1)
    if len(labels) > 1:
        found["disagreement of the experts' probes"] = jensen_shannon([probabilities[e] for e in labels])
    return found


def _nearest(vectors: Array, texts: Sequence[int], known: Sequence[int]) -> Array:
    """`[n]` highest dot product with a known text."""
    chunks = np.array_split(np.asarray(texts), max(1, len(texts) // 1024))
    return np.concatenate([(vectors[c] @ vectors[list(known)].T).max(axis=1) for c in chunks])
