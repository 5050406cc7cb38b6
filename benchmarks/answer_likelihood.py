"""Which question lost its evidence? Our confidence against what a local language model tells of its own answer.

    python -m benchmarks.answer_likelihood
    python -m benchmarks.answer_likelihood --dtype float32 --queries 24 --name answer_likelihood_float32
    python -m benchmarks.answer_likelihood --llm gemma-3-270m          # a base model, without a chat
    python -m benchmarks.answer_likelihood --split train --queries 20  # where wordings were tried

Each question is searched with its right texts in the index, and once more with these, and what nearly repeats them,
left out, as `uec eval confidence` does. Both times the language model gets the first k texts and answers (greedy).

- `confidence`: what the search itself tells, P(a right text is among the first k), calibrated on pseudo-queries of the
  corpus, or on train labels where there are some;
- `LLM, mean`, `LLM, sum`: log-probability of the model's own answer, of a token and of the whole;
- `LLM, gain`: that of a token, less the same of this answer to the question alone, without passages;
- `LLM, verdict`: log odds of "yes" against "no", asked whether the answer is in the passages.

AUROC of each, with 95 % bootstrap intervals over questions, each with both its searches: P(a search with a right text
among the first k gets more than another one), `mixed`, and P(a search of an index that holds the right texts gets more
than one of an index that does not), `there`. Cost is processor time of one question at a time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answer_areas import Signals, areas_table, cost_table, describe, measure
from benchmarks.answering_model import Answered, AnsweringModel, Question
from benchmarks.common import SEED, console, load_experts, save_result, show
from benchmarks.confidence import load_splits, open_or_make, prior_without
from benchmarks.timing import Stopwatch
from devtools.models import GEMMA3, MINILM, MPNET, SMOLLM2, WORDLLAMA, real_llm, real_model
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.signals import abstention_signals
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.engine.results import Hit
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.confidence_queries import Asked, ask_queries, needed_confidence
from uec_retriever.utility_labeler.local import LocalJudge
from uec_retriever.utility_labeler.scoring import Budget

SETS = ("covidqa", "pubmedqa", "qasper_dev_evidence")
PSEUDO, TRAIN = "confidence, no labels", "confidence, train labels"
_EVERY = 1 - 1e-9  # of the questions lose their answers
_AT_ONCE = 8  # questions
_BATCH_TOKENS = 1024  # of a language model's batch: attention costs its square


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--split", choices=["test", "train"], default="test", help="that questions are of")
    parser.add_argument("--queries", type=int, default=50, help="at most this many of each set")
    parser.add_argument("--documents", type=int, help="passages of each set; those judged always stay")
    parser.add_argument("--experts", nargs="+", default=[WORDLLAMA], choices=[MINILM, WORDLLAMA, MPNET])
    parser.add_argument("--pairs", type=int, default=640, help="at most this many calibration pairs")
    parser.add_argument("--train", type=int, default=400, help="at most this many labelled train questions")
    parser.add_argument("--llm", choices=[SMOLLM2, GEMMA3], default=SMOLLM2)
    parser.add_argument("--dtype", default="bfloat16", help="of the language model")
    parser.add_argument("-k", type=int, default=3, help="texts that the language model gets")
    parser.add_argument("--passage-tokens", type=int, default=120, help="of each of them")
    parser.add_argument("--new-tokens", type=int, default=24, help="of an answer, at most")
    parser.add_argument("--timed", type=int, default=7, help="questions of each set whose cost is measured")
    parser.add_argument("--indexes", type=Path, help="folder to keep the indexes in")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--name", default="answer_likelihood", help="of the JSON file")
    options = parser.parse_args()
    experts, model = load_experts(options.experts), load_llm(options)
    found: dict[str, dict[str, Any]] = {}
    signals: dict[str, Signals] = {}
    watch = Stopwatch(time.process_time)
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            start = time.monotonic()
            test, train = load_splits(name, options)
            asked = test if options.split == "test" else train
            if asked is None:
                continue
            with open_or_make(
                (options.indexes or Path(temporary)) / name, test, experts, options.pairs
            ) as engine:
                signals[name], found[name] = evaluate(engine, asked, train, model, options.k)
                take_times(watch, engine, asked.queries[: options.timed], model, options.k)
            console.print(f"{name}: {time.monotonic() - start:.0f} s")
    measured = {name: measure(each) for name, each in signals.items()}
    costs = watch.medians()
    tables = [areas_table(measured), cost_table(costs)]
    for table in tables:
        show(table["title"], table["columns"], table["rows"])
    result = {
        "kind": "tables",
        "split": options.split,
        "llm": options.llm,
        "dtype": options.dtype,
        "experts": options.experts,
        "k": options.k,
        "sets": {name: {**found[name], "areas": describe(each)} for name, each in measured.items()},
        "milliseconds": costs,
        "tables": tables,
    }
    save_result(options.name, result, options.out)


def load_llm(options: argparse.Namespace) -> AnsweringModel:
    """The language model, on the CPU."""
    path = real_model(SMOLLM2) if options.llm == SMOLLM2 else real_llm(options.llm)
    judge = LocalJudge.load(str(path), dtype=options.dtype, device="cpu", budget=Budget(_BATCH_TOKENS))
    return AnsweringModel(judge, passage_tokens=options.passage_tokens, new_tokens=options.new_tokens)


def evaluate(
    engine: Engine, collection: Collection, train: Collection | None, model: AnsweringModel, k: int
) -> tuple[Signals, dict[str, Any]]:
    """Every signal of both searches of each question, and what describes them."""
    right = right_ids(collection)
    engine.calibrate_confidence(k=k, seed=SEED)
    leave_out(engine, collection.name)
    searches = ask_both_ways(engine, right)
    values = {PSEUDO: confidences(searches)}
    if train is not None and train.split != collection.split:
        engine.calibrate_confidence(k=k, labelled=right_ids(train), seed=SEED)
        values[TRAIN] = confidences(ask_both_ways(engine, right))
    questions = [question(asked) for asked in searches]
    answered: list[Answered] = []
    for start in range(0, len(questions), _AT_ONCE):
        answered += model.ask(questions[start : start + _AT_ONCE])
    for name, attribute in (("mean", "mean"), ("sum", "total"), ("gain", "gain"), ("verdict", "verdict")):
        values[f"LLM, {name}"] = np.reshape([getattr(each, attribute) for each in answered], (2, -1))
    hits = np.reshape([asked.is_right for asked in searches], (2, -1))[0]
    return Signals(values, hits), {
        "documents": engine.count(),
        "queries": len(hits),
        "hit_rate": float(hits.mean()),
        "prompt_tokens": float(np.median([model.tokens(each) for each in questions])),
        "answers": [
            {"question": one.text, "answer": two.text}
            for one, two in zip(questions[:3], answered[:3], strict=True)
        ],
    }


def leave_out(engine: Engine, name: str) -> None:
    """Have the confidence use the prior that knows nothing of a collection."""
    model = needed_confidence(engine)
    model = replace(model, prior=model.prior and prior_without(name))
    with engine._writing() as ensemble:
        engine._save(replace(ensemble.manifest, confidence=model.to_string()), ensemble)


def right_ids(collection: Collection) -> dict[str, list[str]]:
    """Question -> ids of its right texts."""
    return {q.text: [i for i, grade in q.relevance.items() if grade > 0] for q in collection.queries}


def ask_both_ways(engine: Engine, right: Mapping[str, Sequence[str]]) -> list[Asked]:
    """The searches of n questions with their right texts, then those without."""
    return [asked for share in (0.0, _EVERY) for asked in ask_queries(engine, right, share, SEED)]


def confidences(searches: Sequence[Asked]) -> Any:
    """`[2, n]` confidence with and without the right texts."""
    return np.reshape([asked.confidence for asked in searches], (2, -1))


def question(asked: Asked) -> Question:
    """What the language model gets."""
    return Question(asked.query, tuple(hit.text for hit in asked.result))


def take_times(
    watch: Stopwatch, engine: Engine, queries: Sequence[Any], model: AnsweringModel, k: int
) -> None:
    """Add the cost of every stage, one question at a time; the first one of a set warms up."""
    confidence = needed_confidence(engine)
    for number, query in enumerate(queries):
        own = watch if number else Stopwatch(watch.clock)
        result = own.time("search", engine.search, query.text, k)
        candidates = engine.search(query.text, confidence.candidates).hits
        [words] = engine.words.encode(engine.manifest.lexical, [[query.text]])
        own.time("confidence", tell, confidence, query.text, candidates, words)
        one = [Question(query.text, tuple(hit.text for hit in result))]
        own.time("LLM, answer", model.answers, one)
        own.time("LLM, verdict", model.verdicts, one)


def tell(model: ConfidenceModel, query: str, candidates: Sequence[Hit], words: LexicalQuery | None) -> float:
    """The confidence, from what a search has scored."""
    texts, raw = [hit.text for hit in candidates], np.array([hit.raw_score for hit in candidates])
    rarities = None if words is None else words.rarities
    return model.probability(abstention_signals(query, texts, raw, rarities))


if __name__ == "__main__":
    main()
