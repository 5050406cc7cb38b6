"""Does a retriever know what it has no text for? Out-of-scope queries against an index of the texts of intents.

    python -m benchmarks.scope
    python -m benchmarks.scope --per-label 5 --queries 100 --experts wordllama-256    # small

clinc150: the index holds train texts, a query is right where the best hit is of its intent, and the out-of-scope
queries are of none. AUROC: P(a query of an intent gets more of a signal than one out of scope), with 95 % bootstrap
intervals. Posteriors are fitted on pairs of texts of one intent, confidence and relevance are calibrated for k = 1 on
validation queries; texts of one short sentence yield no pseudo-queries.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.classification_data import label_pairs
from benchmarks.common import SEED, data_folder, save_result, show
from benchmarks.tab_separated import LabelledText, read_labelled, sample
from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever.engine.engine import Engine
from uec_retriever.evaluation.bootstrap import interval, resample
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array

SET = "clinc150"


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experts", nargs="+", default=[MINILM, WORDLLAMA])
    parser.add_argument("--per-label", type=int, default=20, help="texts of each intent in the index")
    parser.add_argument(
        "--queries", type=int, default=1000, help="of the test split, and as many out of scope"
    )
    parser.add_argument("--labelled", type=int, default=500, help="validation queries to calibrate with")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--name", default="scope", help="of the JSON file")
    options = parser.parse_args()
    folder = data_folder() / SET
    indexed = per_label(read_labelled(folder / "train.tsv"), options.per_label)
    known = sample(read_labelled(folder / "test.tsv"), options.queries, SEED)
    strange = sample(read_labelled(folder / "oos_test.tsv"), options.queries, SEED)
    labelled = sample(read_labelled(folder / "valid.tsv"), options.labelled, SEED)
    experts = [Expert.load(str(real_model(name)), label=name, device="cpu") for name in options.experts]
    with tempfile.TemporaryDirectory() as temporary:
        ids = [str(i) for i in range(len(indexed))]
        texts, pairs = [text for _, text in indexed], label_pairs(indexed, 320, SEED)
        engine = Engine.from_texts(texts, experts, Path(temporary) / "idx", pairs, ids=ids)
        signals = raw_signals(engine, known, strange)
        engine.calibrate_confidence(k=1, labelled=right_texts(labelled, indexed))
        signals |= calibrated(engine, known, strange)
        engine.close()
    within = np.repeat([True, False], [len(known), len(strange)])
    rows, scores = [], {}
    for name, values in signals.items():
        draws = resample(functools.partial(drawn, within, values), len(within), SEED, 300)
        found = interval(auroc(within, values), draws)
        scores[name] = [found.mean, found.low, found.high]
        rows.append([name, f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"])
    table: dict[str, Any] = {
        "name": "scope",
        "title": "Out of scope, clinc150",
        "columns": ["signal", "AUROC"],
        "rows": rows,
    }
    show("Out of scope, clinc150", ["signal", "AUROC"], rows)
    sizes = {"texts": len(indexed), "queries": len(known), "out_of_scope": len(strange)}
    save_result(
        options.name,
        {"kind": "tables", "split": "test", **sizes, "scores": scores, "tables": [table]},
        options.out,
    )


def per_label(texts: Sequence[LabelledText], number: int) -> list[LabelledText]:
    """The first texts of each label."""
    found: dict[str, list[LabelledText]] = defaultdict(list)
    for label, text in texts:
        if len(found[label]) < number:
            found[label].append((label, text))
    return [each for group in found.values() for each in group]


def right_texts(queries: Sequence[LabelledText], indexed: Sequence[LabelledText]) -> dict[str, list[str]]:
    """Query -> ids of the texts of its label."""
    ids: dict[str, list[str]] = defaultdict(list)
    for i, (label, _) in enumerate(indexed):
        ids[label].append(str(i))
    return {text: ids[label] for label, text in queries}


def raw_signals(
    engine: Engine, known: Sequence[LabelledText], strange: Sequence[LabelledText]
) -> dict[str, Array]:
    """Signal -> its values: fused scores, and the nearest text of each expert by itself."""
    results = engine.search_batch([text for _, text in (*known, *strange)], 10, expert_scores=True)
    raw = np.array([[hit.raw_score for hit in result] for result in results])
    found = {
        "score of the best hit": raw[:, 0],
        "the first less the tenth": raw[:, 0] - raw[:, -1],
        "deviation of the first ten": raw.std(axis=1),
        "the first less the second": raw[:, 0] - raw[:, 1],
    }
    for label in results[0].coefficients:
        nearest = [max((hit.expert_scores or {}).get(label, 0.0) for hit in result) for result in results]
        found[f"nearest of ten by {label}"] = np.array(nearest)
    return found


def calibrated(
    engine: Engine, known: Sequence[LabelledText], strange: Sequence[LabelledText]
) -> dict[str, Array]:
    """Confidence, and the relevance of the best hit."""
    results = engine.search_batch([text for _, text in (*known, *strange)], 1)
    return {
        "confidence": np.array([result.confidence for result in results], dtype=np.float64),
        "relevance of the best hit": np.array([r.hits[0].relevance for r in results], dtype=np.float64),
    }


def drawn(within: Any, values: Array, rows: Any) -> float:
    """AUROC of some rows."""
    return auroc(within[rows], values[rows])


def auroc(within: Any, values: Array) -> float:
    """.5 tells nothing."""
    return float(roc_auc_score(within, values)) if 0 < within.sum() < len(within) else 0.5


if __name__ == "__main__":
    main()
