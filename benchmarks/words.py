"""How words and dense experts share the trust: k1, b and the lexical share, chosen on train splits.

    python -m benchmarks.words
    python -m benchmarks.words --sets metatool --queries 20 --documents 60 --coarse      # small

Every ensemble of `--ensembles` gets words as one more expert, every passage is scored exactly. First k1, b and a constant
share are chosen together by mean nDCG@10 over the sets, each with the same weight; then, under the k1 and b of the whole, a
finer share, and a share that follows the query's own variance. What the other sets choose for a set is told beside what
all choose. The constants of `LexicalExpert` and `LexicalShare` are what all ensembles choose together. No test query is
read.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import SEED, console, load_experts, load_set, save_result, show
from benchmarks.retrieval import IN_GROUPS
from benchmarks.words_grid import Grid, Setting, TrainSet
from devtools.models import MINILM, WORDLLAMA
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.evaluation.choosing import LabelledSet
from uec_retriever.evaluation.collection_encoder import CollectionEncoder
from uec_retriever.evaluation.encoding_cache import EncodingCache
from uec_retriever.evaluation.expert_set import ExpertSet, fit_on_corpus
from uec_retriever.evaluation.words import CountedPassages
from uec_retriever.experts.lexical import LexicalExpert, LexicalShare

SETS = ("covidqa", "metatool", "pubmedqa", "qasper_dev_evidence", "policyqa")
ENSEMBLES = (MINILM, f"{MINILM}+{WORDLLAMA}")
K1, B = (0.6, 0.9, 1.2, 1.5, 2.0), (0.3, 0.4, 0.5, 0.6, 0.75)
SHARES = (0.5, 0.6, 0.7, 0.8, 1.0)
FINE_SHARES = (0.0, *(i / 20 for i in range(6, 20)), 1.0)
TEMPERATURES = (0.5, 1.0, 2.0, 4.0, 8.0)
COARSE = ((0.9, 1.5), (0.4, 0.75), (0.5, 0.7))
STRUCTURE = "kron"


def main() -> None:
    """Run, print, save."""
    arguments = _arguments()
    k1s, bs, shares = COARSE if arguments.coarse else (K1, B, SHARES)
    saturations = [LexicalExpert(k1, b) for k1 in k1s for b in bs]
    ensembles = {name: name.split("+") for name in arguments.ensembles}
    found: dict[str, Any] = {}
    grids: dict[str, Grid] = {}
    trains = _train_sets(arguments, ensembles)
    for name, sets in trains.items():
        settings = [Setting(e, LexicalShare(share)) for e in saturations for share in shares]
        coarse = grids[name] = Grid.measure(sets, settings)
        lexical = coarse.best().lexical
        fine = Grid.measure(sets, share_settings(sets, lexical, arguments.coarse))
        found[name] = describe(coarse, fine)
        _print(name, found[name])
    result = {
        "kind": "words",
        "split": "train",
        "sets": {
            one.name: {"documents": len(one.counted.lengths), "queries": len(one.labelled.collection.queries)}
            for one in next(iter(trains.values()))
        },
        "ensembles": found,
        "jointly": describe_jointly(grids, arguments.sets),
        "defaults": str(Setting(LexicalExpert(), LexicalShare())),
    }
    console.print("jointly", result["jointly"])
    save_result(arguments.name, result, arguments.out)


def share_settings(sets: Sequence[TrainSet], lexical: LexicalExpert, coarse: bool) -> list[Setting]:
    """Constant shares, and shares by variance around a zero that is common to all sets: the mean of their means of u."""
    zero = round(float(np.mean([one.log_traces().mean() for one in sets])), 2)
    priors = COARSE[2] if coarse else FINE_SHARES
    constant = [LexicalShare(prior, zero) for prior in priors]
    varied = [LexicalShare(prior, zero, t) for t in TEMPERATURES for prior in priors if 0 < prior < 1]
    return [Setting(lexical, share) for share in (*constant, *varied)]


def describe(coarse: Grid, fine: Grid) -> dict[str, Any]:
    """What JSON can hold of the grids, and what they choose."""

    def constant(setting: Setting) -> bool:
        return bool(np.isinf(setting.share.temperature))

    best, varied = fine.best(among=constant), fine.best(among=lambda s: not constant(s))
    by_saturation: dict[str, dict[str, float]] = {}
    for setting in coarse.settings:
        row = by_saturation.setdefault(f"k1 = {setting.lexical.k1:g}", {})
        column = f"b = {setting.lexical.b:g}"
        row[column] = max(row.get(column, 0.0), coarse.mean(setting))
    by_share: dict[str, dict[str, float]] = {}
    for setting in fine.settings:
        row = by_share.setdefault(f"{setting.share.prior:g}", {})
        row[_column(setting)] = fine.mean(setting)
    left_out = coarse.leave_one_out()
    constant_left_out, varied_left_out = (
        fine.leave_one_out(among) for among in (constant, lambda s: not constant(s))
    )
    return {
        "by saturation": by_saturation,
        "words alone": {str(s.lexical): coarse.mean(s) for s in coarse.settings if s.share.prior == 1},
        "by share": by_share,
        "chosen together": {"setting": str(coarse.best()), "nDCG@10": coarse.mean(coarse.best())},
        "constant": {"setting": str(best), "nDCG@10": fine.mean(best)},
        "by variance": {
            "setting": str(varied),
            "nDCG@10": fine.mean(varied),
            "gain over constant": asdict(fine.gain(varied, best, SEED)),
        },
        "left out": {
            name: {
                "chosen by the others": str(left_out[name]),
                "nDCG@10": float(coarse.values[name][left_out[name]].mean()),
                "of what all choose": float(coarse.values[name][coarse.best()].mean()),
                "of its own best": max(float(v.mean()) for v in coarse.values[name].values()),
            }
            for name in left_out
        },
        "left out, constant": fine.held_out(constant_left_out),
        "left out, by variance": fine.held_out(varied_left_out),
    }


def describe_jointly(grids: Mapping[str, Grid], names: Sequence[str]) -> dict[str, Any]:
    """What all ensembles choose together, what they choose without each set, and what else is as good.

    Args:
        grids: ensemble -> the settings tried on each set.
        names: of the sets.
    """
    joint = Grid.join(grids)
    best = joint.best()
    gains = {setting: joint.gain(best, setting, SEED) for setting in joint.settings}
    left_out = {name: joint.best([f"{e}/{name}" for e in grids]) for name in names} if len(names) > 1 else {}
    return {
        "setting": str(best),
        "nDCG@10": {ensemble: grid.mean(best) for ensemble, grid in grids.items()},
        "left out": {name: str(setting) for name, setting in left_out.items()},
        "not clearly worse": {
            str(s): {
                **{e: grid.mean(s) for e, grid in grids.items()},
                "behind": f"{g.mean:.4f} [{g.low:.4f}, {g.high:.4f}]",
            }
            for s, g in gains.items()
            if g.low <= 0 and s != best
        },
    }


def _train_sets(
    arguments: argparse.Namespace, ensembles: Mapping[str, Sequence[str]]
) -> dict[str, list[TrainSet]]:
    """Ensemble -> its train sets; every expert encodes once and is fitted once for each corpus."""
    names = list(dict.fromkeys(expert for members in ensembles.values() for expert in members))
    cache = EncodingCache(arguments.cache)
    experts = [cache.expert(expert) for expert in load_experts(names)]
    found: dict[str, list[TrainSet]] = {name: [] for name in ensembles}
    for name in arguments.sets:
        collection = load_set(name, "train", queries=arguments.queries).shorten(arguments.documents)
        fitted = fit_on_corpus(collection, experts, arguments.max_pairs, SEED, [STRUCTURE])
        counted = CountedPassages.count(collection.texts, WordAnalyzer())
        for ensemble, members in ensembles.items():
            rows = [fitted.labels.index(member) for member in members]
            under = [fitted.under(STRUCTURE)[row] for row in rows]
            known = ExpertSet([experts[row] for row in rows], {STRUCTURE: under}, fitted.references)
            encoded = CollectionEncoder(known, [STRUCTURE]).encode(collection)
            scope = "group" if name in IN_GROUPS else "corpus"
            labelled = LabelledSet(collection, encoded, scope)
            found[ensemble].append(TrainSet(labelled, counted, known.calibrate(STRUCTURE, None)))
        console.print(f"{name}: {len(collection.queries)} train queries, {len(collection.ids)} passages")
    return found


def _column(setting: Setting) -> str:
    return "constant" if np.isinf(setting.share.temperature) else f"T = {setting.share.temperature:g}"


def _print(ensemble: str, found: Mapping[str, Any]) -> None:
    for title, part in (("best share at each k1 and b", "by saturation"), ("by share", "by share")):
        columns = list(dict.fromkeys(column for row in found[part].values() for column in row))
        rows = [
            [row, *(f"{held[c]:.4f}" if c in held else "" for c in columns)]
            for row, held in found[part].items()
        ]
        show(f"{ensemble} and words, nDCG@10, train: {title}", ["", *columns], rows)
    rows = [
        [name, *(v if isinstance(v, str) else f"{v:.4f}" for v in held.values())]
        for name, held in found["left out"].items()
    ]
    columns = list(next(iter(found["left out"].values()), {}))
    show(f"{ensemble} and words: left out", ["", *columns], rows)
    for part in ("chosen together", "constant", "by variance"):
        console.print(part, found[part])
    console.print(
        "left out: constant", found["left out, constant"], "by variance", found["left out, by variance"]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--ensembles", nargs="+", default=list(ENSEMBLES), help="experts joined by +")
    parser.add_argument(
        "--queries", type=int, default=400, help="at most this many train queries of each set"
    )
    parser.add_argument(
        "--documents", type=int, help="at most this many documents of each set, all relevant ones among them"
    )
    parser.add_argument("--max-pairs", type=int, default=640)
    parser.add_argument("--coarse", action="store_true", help="a grid of few points, to try things out")
    parser.add_argument("--cache", type=Path, help="folder that keeps encodings for the next run")
    parser.add_argument("--name", default="words", help="of the JSON file")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
