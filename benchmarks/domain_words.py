"""Words beside domain experts: does what coefficients gain over equal weights stay once words have half of the trust?

Everything is asked twice, without words and with them at their default share (`LexicalShare`). With words the dense
experts divide what is left: equally (`uniform`), by their coefficients (`UEC`), or all of it to one expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.comparison import mean_difference
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.expert_set import ExpertSet
from uec_retriever.evaluation.hybrid import WORDS
from uec_retriever.evaluation.methods import UEC, UNIFORM, RetrievalOptions
from uec_retriever.evaluation.metrics import NDCG
from uec_retriever.evaluation.oracles import ORACLE_DOMAIN, oracles
from uec_retriever.evaluation.retrieval_study import Measurements, RetrievalStudy
from uec_retriever.experts.lexical import LexicalShare

RIGHT = "right expert"
_WEIGHED = ("UEC kron", "UEC kron sum")


def beside(label: str) -> str:
    """What a method is called with words beside it."""
    return f"{label} + {WORDS}"


def words_variants() -> dict[str, UEC]:
    """What the families do not have: words beside equal weights, and beside the sum layout."""
    return {
        beside(UNIFORM): UEC(words=LexicalShare(), similarity=False, coefficients=False),
        beside("UEC kron sum"): UEC("kron", "sum", words=LexicalShare()),
    }


class RightExpert:
    """Adds each expert with words beside it, and the best expert of each set, without words and with them.

    Args:
        experts: with `kron` posteriors.
        options: of the study that this goes with: scopes and the lexical expert count.
    """

    def __init__(self, experts: ExpertSet, options: RetrievalOptions) -> None:
        method = UEC(words=LexicalShare(), similarity=False, coefficients=False)
        self._studies = {}
        for label, expert in zip(experts.labels, experts.under("kron"), strict=True):
            alone = ExpertSet([expert], {"kron": [expert]}, experts.references)
            asked = replace(options, methods=["single"], temperature=1.0, variants={beside(label): method})
            self._studies[label] = RetrievalStudy(alone, asked)

    def add(self, measured: Measurements) -> Measurements:
        """A collection's measurements with `EXPERT + words`, `right expert` and `right expert + words`.

        The right expert is an upper bound: it has the highest nDCG@10 of the dense ones on the answers.
        """
        kinds = {**measured.kinds, beside(UNIFORM): "ensemble"}
        values, rankings = dict(measured.values), dict(measured.rankings)
        collection: Collection = measured.collection
        for label, study in self._studies.items():
            found = study.measure(collection)
            kinds[beside(label)] = "fusion"
            values[beside(label)] = found.values[beside(label)]
            rankings[beside(label)] = found.rankings[beside(label)]
        for name, of in ((RIGHT, list(self._studies)), (beside(RIGHT), list(map(beside, self._studies)))):
            kinds[name] = "oracle"
            values[name] = oracles(collection, {label: values[label] for label in of})[ORACLE_DOMAIN]
        return replace(measured, kinds=kinds, values=values, rankings=rankings)


def gain_table(measured: Sequence[Measurements], trained: Sequence[str]) -> dict[str, Any]:
    """A table of a result file: nDCG@10 without words and with them, and what it gains over equal weights.

    Args:
        measured: of sets with the methods of `words_variants` and `RightExpert`.
        trained: names of those sets whose domain an expert was trained on; the others are shown by themselves.
    """
    inside = [m for m in measured if m.collection.name in trained]
    parts = {
        "trained domains": inside,
        "other domains": [m for m in measured if m.collection.name not in trained],
        "all sets": list(measured),
    }
    parts = {name: part for name, part in parts.items() if part}
    rows = []
    for way in (str, beside):
        alone = [way(label) for label in measured[0].labels]
        best = max(alone, key=lambda label: _mean(measured, label))
        for title, label in (
            (way(UNIFORM), way(UNIFORM)),
            (f"{best} (best single expert)", best),
            (way(RIGHT), way(RIGHT)),
            *((way(label), way(label)) for label in _WEIGHED),
        ):
            cells = []
            for part in parts.values():
                gain = mean_difference(part, label, way(UNIFORM))
                cells += [
                    f"{_mean(part, label):.4f}",
                    "" if label == way(UNIFORM) else f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
                ]
            rows.append([title, *cells])
    return {
        "name": "gain",
        "title": f"{NDCG} without words and with them, and the difference to equal weights",
        "columns": ["method", *(c for name in parts for c in (name, "- uniform"))],
        "rows": rows,
        "note": "[...]: 95 % paired bootstrap interval over queries; each set counts alike; with words the difference is to "
        f"{beside(UNIFORM)}; the {RIGHT} (of each set) is an upper bound",
    }


def _mean(measured: Sequence[Measurements], label: str) -> float:
    return float(np.mean([m.values[label][NDCG].mean() for m in measured]))
