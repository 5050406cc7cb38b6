"""Changes to UEC that might close the gap to the right expert each time, on the domain experts.

    python -m benchmarks.remedies
    python -m benchmarks.remedies --questions 40 --documents 80 --queries 10    # small

Experts, posteriors and sets are those of `benchmarks.domain_experts` (`kron`, block layout), each set with its own
corpus. Every remedy takes the temperature with the highest mean nDCG@10 over train queries that no expert was trained
on. `left out`: the same train queries without the expert of their domain, which shows what a remedy does to queries
of a domain nobody knows. Choose by the train columns; the test columns say what the choice is worth. Beside them the
other structures and layouts, from which the package's defaults are chosen in the same way.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from benchmarks.common import console, save_result, show
from benchmarks.domain_study import DOMAIN_OF, GROUPED, UNTRAINED, DomainStudy, add_study_arguments, set_up
from uec_retriever.convolution import coefficients
from uec_retriever.engine.recalibrate import TEMPERATURES
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.encoded import CollectionEncoder, Encoded
from uec_retriever.evaluation.members import STRUCTURES, Calibration, Member, calibrated
from uec_retriever.evaluation.methods import UEC, uec_scorer
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.evaluation.scoring import Block, Scorer, block_scorer, rank, weighted_cosines
from uec_retriever.gaussian import Array
from uec_retriever.similarity import probit_score
from uec_retriever.store.manifest import Manifest

STRUCTURE = "kron"
NEIGHBOURS = 10  # candidates whose uncertainty is looked at
ABSENT = 1e-300  # prior of an expert that is left out
TEMPERATURE_GRID = (0.02, *TEMPERATURES)


@dataclass(frozen=True, eq=False)
class Seen:
    """A collection as the experts see it.

    Attributes:
        collection: one split, own corpus.
        encoded: means and Gaussians.
        query: `[n, K]` log tr(Sigma) of the queries, relative to the zero.
        candidates: `[n, K]` the mean of the same over each query's first candidates under the uniform ensemble.
    """

    collection: Collection
    encoded: Encoded
    query: Array
    candidates: Array

    @property
    def scope(self) -> str:
        """`group` for sets whose questions name no group."""
        return "group" if self.collection.name in GROUPED else "corpus"

    def ndcg(self, scorer: Scorer) -> float:
        """Mean nDCG@10."""
        found = rank(self.encoded, self.collection, {"": scorer}, self.scope, 10)[""]
        values = rank_metrics(self.collection.queries, found.ids(self.collection), (NDCG,))[NDCG]
        return float(values.mean())


Weigh = Callable[[Seen, float, Array], Array]  # collection, temperature, prior of the experts that are there
Make = Callable[[Array], Scorer]
Row = dict[str, float]
Value = Callable[[Seen, float, bool], float]  # collection, temperature, without the expert of its domain


@dataclass(frozen=True)
class Remedy:
    """How queries weigh the experts, and how they score."""

    weigh: Weigh
    scorer: Make = lambda weights: block_scorer(weights, None)


def by_uncertainty(share: float = 0.0) -> Weigh:
    """The package's coefficients; `share` of the uncertainty from the candidates instead of the query."""

    def weigh(seen: Seen, temperature: float, prior: Array) -> Array:
        u = (1 - share) * seen.query + share * seen.candidates
        return coefficients(np.exp(u), temperature, prior=prior)

    return weigh


def without_prior(seen: Seen, temperature: float, prior: Array) -> Array:
    """All experts that are there trusted alike beforehand."""
    return coefficients(np.exp(seen.query), temperature, prior=np.where(prior > ABSENT, 1.0, ABSENT))


def with_doubt(seen: Seen, temperature: float, prior: Array) -> Array:
    """One more choice, as sure as an expert of an ordinary text: to trust all alike."""
    present = prior > ABSENT
    scores = np.log(prior) - seen.query / temperature
    weights = softmax(np.concatenate([scores, np.zeros((len(scores), 1))], axis=1), axis=1)
    even: Array = weights[:, :-1] + weights[:, -1:] * present / present.sum()
    return even


def discounted(factor: float) -> Make:
    """The uncertainty-aware similarity with variances `factor` times as large."""

    def make(weights: Array) -> Scorer:
        mean = block_scorer(weights, None)

        def score(block: Block) -> Array:
            parts = zip(weights[block.rows].T ** 2, block.variances(STRUCTURE), strict=True)
            variance = sum(w[:, None].astype(v.dtype) * v for w, v in parts)
            return probit_score(mean(block), factor * np.asarray(variance))

        return score

    return make


REMEDIES: dict[str, Remedy] = {
    "as it is": Remedy(by_uncertainty()),
    **{f"variance x {f:g} in the similarity": Remedy(by_uncertainty(), discounted(f)) for f in (1, 10, 100, 1000)},
    **{
        f"coefficients {s:.0%} by the candidates": Remedy(by_uncertainty(s)) for s in (0.3, 0.5, 1.0)
    },
    "no prior": Remedy(without_prior),
    "doubt as one more expert": Remedy(with_doubt),
}  # fmt: skip
DAMPING = (0.1, 10.0)  # factors of the prior precision, "as it is" otherwise


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_study_arguments(parser)
    arguments = parser.parse_args()
    study = set_up(arguments)
    rows: dict[str, Row] = {}
    grids: dict[str, Row] = {}
    for factor in (1.0, *DAMPING):
        trains, tests, manifest = _seen(study, factor)
        prior = np.array([e.prior for e in manifest.experts])
        remedies = REMEDIES if factor == 1 else {f"prior precision x {factor:g}": REMEDIES["as it is"]}
        for label, remedy in remedies.items():
            with console.status(label):
                rows[label], grids[label] = _measure(remedy, trains, tests, prior)
        if factor == 1:
            with console.status("structures and layouts"):
                forms = _forms(study, trains, tests)
            rows = {**_peers(trains, tests), **{form: row for form, (row, _) in forms.items()}, **rows}
            grids = {**{form: grid for form, (_, grid) in forms.items()}, **grids}
    columns = list(rows["as it is"])
    shown = [[label, *(f"{row[c]:.4f}" if c in row else "" for c in columns)] for label, row in rows.items()]
    show("mean nDCG@10", ["", *columns], shown)
    result = {
        "kind": "remedies",
        "structure": STRUCTURE,
        "train": [c.name for c in study.trains],
        "test": [c.name for c in study.tests],
        "rows": rows,
        "train by temperature": grids,
    }
    save_result("remedies", result, arguments.out)


def _seen(study: DomainStudy, factor: float) -> tuple[list[Seen], list[Seen], Manifest]:
    """All collections under posteriors of another prior precision, and the calibration that goes with them."""
    members = []
    for member in study.calibration.members:
        posterior = member.posteriors[STRUCTURE]
        changed = replace(posterior, prior_precision=posterior.prior_precision * factor)
        members.append(Member(member.expert, {**member.posteriors, STRUCTURE: changed}))
    calibration = Calibration(members, study.calibration.references)
    manifest = calibrated(calibration.manifest(STRUCTURE), calibration.measured(STRUCTURE), None)
    encoder = CollectionEncoder(members, STRUCTURES if factor == 1 else [STRUCTURE])
    trains = [_look(c, encoder, manifest) for c in study.trains]
    return trains, [_look(c, encoder, manifest) for c in study.tests], manifest


def _look(collection: Collection, encoder: CollectionEncoder, manifest: Manifest) -> Seen:
    encoded = encoder.encode(collection)
    query, document = (
        np.log(np.stack([g.trace for g in side.gaussians[STRUCTURE]], axis=1).astype(np.float64)) - zeros
        for side, zeros in (
            (encoded.queries, np.array([e.query_zero for e in manifest.experts])),
            (encoded.documents, np.array([e.document_zero for e in manifest.experts])),
        )
    )
    experts = query.shape[1]
    seen = Seen(collection, encoded, query, query)
    uniform = weighted_cosines(np.full(experts, 1 / experts))
    found = rank(encoded, collection, {"": uniform}, seen.scope, NEIGHBOURS)[""].documents
    there = (found >= 0)[:, :, None]
    return replace(seen, candidates=(document[found] * there).sum(axis=1) / there.sum(axis=1))


def _measure(remedy: Remedy, trains: Sequence[Seen], tests: Sequence[Seen], prior: Array) -> tuple[Row, Row]:
    """A remedy at its best temperature, and its train nDCG@10 at each."""

    def value(seen: Seen, temperature: float, leave_out: bool) -> float:
        there = np.where(_left(seen, prior), prior, ABSENT) if leave_out else prior
        return seen.ndcg(remedy.scorer(remedy.weigh(seen, temperature, there)))

    return _at_best(value, trains, tests, leave_out=True)


def _forms(study: DomainStudy, trains: Sequence[Seen], tests: Sequence[Seen]) -> dict[str, tuple[Row, Row]]:
    """UEC in its other structures and layouts, without the similarity."""
    found = {}
    for structure, layout in (("diag", "block"), ("kron", "sum"), ("diag", "sum")):
        calibration = study.calibration
        plain, references = calibration.manifest(structure), calibration.measured(structure)
        manifest = calibrated(plain, references, 1.0, layout=layout)
        method = UEC(structure, layout, similarity=False)

        def value(
            seen: Seen, temperature: float, _: bool, method: UEC = method, manifest: Manifest = manifest
        ) -> float:
            return seen.ndcg(uec_scorer(method, replace(manifest, temperature=temperature), seen.encoded)[0])

        found[f"{structure}, {layout}"] = _at_best(value, trains, tests, leave_out=False)
    return found


def _peers(trains: Sequence[Seen], tests: Sequence[Seen]) -> dict[str, Row]:
    """The uniform ensemble, and the best single expert of each set."""

    def there(seen: Seen, leave_out: bool) -> Array:
        every = np.ones(seen.query.shape[1])
        return _left(seen, every).astype(float) if leave_out else every

    def uniform(seen: Seen, _: float, leave_out: bool) -> float:
        keep = there(seen, leave_out)
        return seen.ndcg(weighted_cosines(keep / keep.sum()))

    def oracle(seen: Seen, _: float, leave_out: bool) -> float:
        keep = there(seen, leave_out)
        return max(seen.ndcg(weighted_cosines(np.eye(len(keep))[k])) for k in np.flatnonzero(keep))

    peers = {"uniform": uniform, "oracle domain": oracle}
    return {label: _columns(value, 0.0, trains, tests, leave_out=True) for label, value in peers.items()}


def _at_best(
    value: Value, trains: Sequence[Seen], tests: Sequence[Seen], *, leave_out: bool
) -> tuple[Row, Row]:
    """Temperature by the train queries, then everything at that temperature; and what chose it."""
    scores = {t: float(np.mean([value(s, t, False) for s in trains])) for t in TEMPERATURE_GRID}
    best = max(scores, key=lambda t: (round(scores[t], 9), t))
    row = {"temperature": best, **_columns(value, best, trains, tests, leave_out=leave_out)}
    return row, {f"T = {t:g}": score for t, score in scores.items()}


def _columns(
    value: Value, temperature: float, trains: Sequence[Seen], tests: Sequence[Seen], *, leave_out: bool
) -> Row:
    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    tested = {s.collection.name: value(s, temperature, False) for s in tests}
    row = {"train": mean([value(s, temperature, False) for s in trains])}
    if leave_out:
        row["left out"] = mean([value(s, temperature, True) for s in trains])
    return row | {
        "test, trained": mean([v for name, v in tested.items() if name not in UNTRAINED]),
        "test, untrained": mean([v for name, v in tested.items() if name in UNTRAINED]),
        "test": mean(list(tested.values())),
    }


def _left(seen: Seen, prior: Array) -> Array:
    """`[K]` experts that are not of the collection's domain."""
    own = list(dict.fromkeys(DOMAIN_OF.values())).index(DOMAIN_OF[seen.collection.name])
    left: Array = np.arange(len(prior)) != own
    return left


if __name__ == "__main__":
    main()
