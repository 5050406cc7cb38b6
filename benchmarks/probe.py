"""Logistic probe on embeddings, as MTEB's classification tasks do it, and moderated by the embeddings' variances."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from uec_retriever.gaussian import Array
from uec_retriever.similarity import probit_score

_ITERATIONS = 100  # MTEB's, converged or not


def undersample(labels: Sequence[str], per_label: int, rounds: int, seed: int) -> list[list[int]]:
    """Training samples, one list of positions for each round.

    As MTEB's `_undersample_data`: the order is shuffled anew (from the same state, on top of the last order) before
    each round, and the first `per_label` texts of each label are taken.

    Args:
        labels: n labels.
        per_label: texts of each label.
        rounds: how many samples.
        seed: MTEB's is 42.
    """
    order = list(range(len(labels)))
    samples = []
    for _ in range(rounds):
        np.random.RandomState(seed).shuffle(order)  # noqa: NPY002, as MTEB
        taken: Counter[str] = Counter()
        chosen = []
        for i in order:
            if taken[labels[i]] < per_label:
                taken[labels[i]] += 1
                chosen.append(i)
        samples.append(chosen)
    return samples


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted logistic regression.

    Attributes:
        classes: C labels.
        weights: `[C, D]`.
        intercepts: `[C]`.
    """

    classes: NDArray[np.str_]
    weights: Array
    intercepts: Array

    def probabilities(self, features: Array, variance: Array | None = None) -> Array:
        """`[n, C]` of texts; with variances each logit is drawn towards 0 by its own (MacKay's approximation).

        Args:
            features: `[n, D]` means.
            variance: `[n, D]` of the features: a logit has variance `sum_d w_d^2 Sigma_d`.
        """
        logits: Array = features @ self.weights.T + self.intercepts
        if variance is not None:
            logits = probit_score(logits, variance @ (self.weights**2).T)
        return np.asarray(softmax(logits, axis=1))


def fit_probe(features: Array, labels: Sequence[str], seed: int) -> Probe:
    """Multinomial logistic regression with sklearn's defaults and 100 iterations.

    Args:
        features: `[n, D]`.
        labels: n labels of at least two classes.
        seed: of the solver.

    Source: MTEB's `AbsTaskClassification`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(max_iter=_ITERATIONS, random_state=seed).fit(features, list(labels))
    weights, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # one row of log odds: split evenly, so that softmax gives them back
        weights, intercepts = np.concatenate([-weights, weights]) / 2, np.repeat(intercepts, 2) * [-0.5, 0.5]
    return Probe(np.asarray(fitted.classes_), weights, intercepts)


@dataclass(frozen=True, eq=False)
class ProbeScores:
    """What a probe makes of n test texts.

    Attributes:
        correct: `[n]` 0 or 1.
        f1: macro-averaged over the classes of the test texts and predictions.
        auroc: one class against the rest, averaged over the classes of the test texts; NaN if they are all of one.
    """

    correct: Array
    f1: float
    auroc: float


def score_probe(probe: Probe, probabilities: Array, labels: Sequence[str]) -> ProbeScores:
    """Accuracy, macro F1 and AUROC of predicted probabilities `[n, C]`."""
    truth = np.array(labels)
    predicted = probe.classes[probabilities.argmax(axis=1)]
    areas = [
        roc_auc_score(truth == label, probabilities[:, column])
        for column, label in enumerate(probe.classes)
        if 0 < (truth == label).sum() < len(truth)
    ]
    return ProbeScores(
        (predicted == truth).astype(np.float64),
        float(f1_score(truth, predicted, average="macro", zero_division=0)),
        float(np.mean(areas)) if areas else float("nan"),
    )
