"""Settings of the lexical expert and its share, tried on labelled queries: what `benchmarks.words` chooses by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from uec_retriever.evaluation.bootstrap import Interval, Values, interval, resample_means
from uec_retriever.evaluation.choosing import LabelledSet
from uec_retriever.evaluation.exact import Scorer
from uec_retriever.evaluation.methods import UEC, uec_scorer
from uec_retriever.evaluation.words import CountedPassages, EncodedWords
from uec_retriever.experts.lexical import LexicalExpert, LexicalShare, relative_traces
from uec_retriever.store.manifest import Manifest


@dataclass(frozen=True)
class Setting:
    """What can be chosen.

    Attributes:
        lexical: k1 and b.
        share: prior, zero and temperature.
    """

    lexical: LexicalExpert
    share: LexicalShare

    def __str__(self) -> str:
        constant = np.isinf(self.share.temperature)
        by = "constant" if constant else f"zero {self.share.zero:.2f}, T = {self.share.temperature:g}"
        return f"k1 {self.lexical.k1:g}, b {self.lexical.b:g}, share {self.share.prior:g} {by}"


@dataclass(frozen=True, eq=False)
class TrainSet:
    """Train queries of a collection under one ensemble of dense experts.

    Attributes:
        labelled: the queries; whatever words they are encoded with does not matter.
        counted: its passages.
        manifest: the dense experts' calibration.
    """

    labelled: LabelledSet
    counted: CountedPassages
    manifest: Manifest

    @property
    def name(self) -> str:
        """Of the collection."""
        return self.labelled.collection.name

    def encode(self, lexical: LexicalExpert) -> EncodedWords:
        """Its queries and passages under a lexical expert."""
        return EncodedWords.encode(lexical, self.counted, [q.text for q in self.labelled.collection.queries])

    def log_traces(self) -> Values:
        """`[n]` u of the queries that have words; k1 and b do not matter."""
        known = [query for query in self.encode(LexicalExpert()).queries if query is not None]
        return np.log(relative_traces(known))

    def ndcg(self, settings: Iterable[Setting]) -> dict[Setting, Values]:
        """Setting -> `[n]` nDCG@10 of UEC with words."""
        found: dict[Setting, Values] = {}
        by_expert: dict[LexicalExpert, list[Setting]] = {}
        for setting in settings:
            by_expert.setdefault(setting.lexical, []).append(setting)
        for lexical, chosen in by_expert.items():
            encoded = self.labelled.encoded.with_words(self.encode(lexical))
            one = LabelledSet(self.labelled.collection, encoded, self.labelled.scope)
            scorers: dict[Setting, Scorer] = {
                s: uec_scorer(UEC(words=s.share), self.manifest, encoded)[0] for s in chosen
            }
            found |= one.ndcg(scorers)
        return found


@dataclass(frozen=True, eq=False)
class Grid:
    """nDCG@10 of settings on several sets.

    Attributes:
        values: set -> setting -> `[n]`.
    """

    values: Mapping[str, Mapping[Setting, Values]]

    @classmethod
    def measure(cls, sets: Sequence[TrainSet], settings: Sequence[Setting]) -> Grid:
        """Try all settings on all sets."""
        return cls({one.name: one.ndcg(settings) for one in sets})

    @classmethod
    def join(cls, grids: Mapping[str, Grid]) -> Grid:
        """Grids of several ensembles as one, of the settings that all have tried; sets are `ENSEMBLE/SET`."""
        common = [
            s for s in next(iter(grids.values())).settings if all(s in g.settings for g in grids.values())
        ]
        return cls(
            {
                f"{ensemble}/{name}": {s: values[s] for s in common}
                for ensemble, grid in grids.items()
                for name, values in grid.values.items()
            }
        )

    @property
    def sets(self) -> list[str]:
        """Names of the sets."""
        return list(self.values)

    @property
    def settings(self) -> list[Setting]:
        """All that was tried."""
        return list(next(iter(self.values.values())))

    def mean(self, setting: Setting, left_out: Collection[str] = ()) -> float:
        """Mean over sets, each with the same weight."""
        return float(np.mean([v[setting].mean() for name, v in self.values.items() if name not in left_out]))

    def best(
        self, left_out: Collection[str] = (), among: Callable[[Setting], bool] = lambda setting: True
    ) -> Setting:
        """The setting of highest mean; of equals the first."""
        chosen = [s for s in self.settings if among(s)]
        return max(chosen, key=lambda s: round(self.mean(s, left_out), 9))

    def gain(self, setting: Setting, over: Setting, seed: int = 0) -> Interval:
        """Mean over sets of the paired difference of two settings, with the interval over queries."""
        differences = [v[setting] - v[over] for v in self.values.values()]
        draws = np.mean([resample_means(d, seed) for d in differences], axis=0)
        return interval(float(np.mean([d.mean() for d in differences])), draws)

    def leave_one_out(self, among: Callable[[Setting], bool] = lambda setting: True) -> dict[str, Setting]:
        """Set -> what the other sets choose; nothing if there are none."""
        if len(self.values) < 2:
            return {}
        return {name: self.best([name], among) for name in self.sets}

    def held_out(self, chosen: Mapping[str, Setting]) -> float:
        """Mean over sets, each under its own setting; NaN without any."""
        means = [float(self.values[name][setting].mean()) for name, setting in chosen.items()]
        return float(np.mean(means)) if means else float("nan")
