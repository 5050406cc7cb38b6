"""What words cost: a query and indexing with words as an expert and without, and a query beside its plain parts.

    python -m benchmarks.words_cost
    python -m benchmarks.words_cost --texts 400 --queries 10 --repeats 1   # small

The texts are those of several collections one after the other. All queries have 8 to 12 words. With words, without
and the plain parts (sentence-transformers, and Chroma with as many candidates) take turns, query by query. Times are
CPU time of this process, which other work on the machine disturbs less than wall time; wall time stands beside it.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.common import SEED, load_set, save_result, show
from benchmarks.timing import Stopwatch, median
from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever.data.pairs import pseudo_pairs
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.recipe import Recipe
from uec_retriever.engine.search import DEFAULT_CANDIDATES
from uec_retriever.experts.expert import Expert

SETS = ("covidqa", "pubmedqa", "scifact_partial", "qasper_dev_evidence", "policyqa", "hotpotqa_100")
WITH, WITHOUT = "with words", "without words"
ENCODING, CHROMA = "plain encoding", f"plain Chroma, {DEFAULT_CANDIDATES}"
CLOCKS = {"CPU": time.process_time, "wall": time.perf_counter}
_SHORT, _LONG = 8, 12  # words of a query
_WARM = 10  # queries


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--expert", default=WORDLLAMA, choices=[WORDLLAMA, MINILM])
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3, help="of indexing")
    parser.add_argument("--name", default="words_cost", help="of the result file")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    options = parser.parse_args()
    load = [os.getloadavg()[0]]
    texts, queries = _read(options.texts, options.queries)
    model = str(real_model(options.expert))
    with tempfile.TemporaryDirectory() as folder:
        engines, indexing = measure_indexing(Path(folder), model, texts, options.repeats)
        query = measure_queries(engines, model, queries)
        for engine in engines.values():
            engine.close()
    load.append(os.getloadavg()[0])
    tables = [_query_table(query), _indexing_table(indexing)]
    told = {"kind": "tables", "title": f"What words cost, {options.expert}", "tables": tables}
    sizes = {"expert": options.expert, "texts": len(texts), "queries": len(queries), "load": load}
    save_result(options.name, {**told, **sizes, "query": query, "indexing": indexing}, options.out)


def measure_indexing(
    folder: Path, model: str, texts: list[str], repeats: int
) -> tuple[dict[str, Engine], dict[str, Any]]:
    """Seconds of `Engine.add` with words and without, in turn; and the last engine of either."""
    expert = Expert.load(model, device="cpu")
    engines: dict[str, Engine] = {}
    seconds: dict[str, dict[str, list[float]]] = {c: {WITH: [], WITHOUT: []} for c in CLOCKS}
    ids = [str(i) for i in range(len(texts))]
    for repeat in range(repeats):
        for name in (WITH, WITHOUT) if repeat % 2 else (WITHOUT, WITH):
            recipe = Recipe(pseudo_pairs(texts[:640]), lexical=name == WITH)
            engine = Engine.create(folder / f"{name} {repeat}", [expert], recipe)
            starts = {c: clock() for c, clock in CLOCKS.items()}
            engine.add(texts, ids=ids)
            for c, clock in CLOCKS.items():
                seconds[c][name].append(clock() - starts[c])
            if name in engines:
                engines.pop(name).close()
            engines[name] = engine
    medians = {c: {name: median(values) for name, values in by.items()} for c, by in seconds.items()}
    ratios = {
        c: median([b / a for a, b in zip(by[WITH], by[WITHOUT], strict=True)]) for c, by in seconds.items()
    }
    return engines, {"seconds": seconds, "medians": medians, "rate with over rate without": ratios}


def measure_queries(engines: dict[str, Engine], model: str, queries: list[str]) -> dict[str, Any]:
    """Milliseconds of a query, and what words add to it."""
    plain = SentenceTransformer(model, device="cpu")
    collection = engines[WITHOUT].store.collection
    include: Any = ["documents", "metadatas", "distances"]

    def encode(query: str) -> Any:
        return plain.encode_query([query], normalize_embeddings=True)

    def nearest(vector: Any) -> Any:
        return collection.query(query_embeddings=vector, n_results=DEFAULT_CANDIDATES, include=include)

    watches = {c: Stopwatch(clock) for c, clock in CLOCKS.items()}
    for row, query in enumerate([*queries[:_WARM], *queries]):
        turns: list[Any] = [(name, engine.search, query, 10) for name, engine in engines.items()]
        turns.append((ENCODING, encode, query))
        for name, call, *arguments in turns[:: 1 if row % 2 else -1]:
            vector = _time(watches, name, call, *arguments)
            if name == ENCODING:
                _time(watches, CHROMA, nearest, np.asarray(vector))
    result: dict[str, Any] = {}
    for c, watch in watches.items():
        differences = np.subtract(watch.milliseconds[WITH], watch.milliseconds[WITHOUT])[_WARM:]
        milliseconds = watch.medians(skip=_WARM)
        parts = milliseconds[ENCODING] + milliseconds[CHROMA]
        result[c] = {
            "milliseconds": milliseconds,
            "words": median(differences.tolist()),
            "ratio to plain parts": {name: milliseconds[name] / parts for name in (WITHOUT, WITH)},
        }
    return result


def _time(watches: dict[str, Stopwatch], name: str, call: Any, *arguments: Any) -> Any:
    """Call once, under all clocks."""
    starts = {c: watch.clock() for c, watch in watches.items()}
    outcome = call(*arguments)
    for c, watch in watches.items():
        watch.add(name, watch.clock() - starts[c])
    return outcome


def _read(texts: int, queries: int) -> tuple[list[str], list[str]]:
    """The first distinct texts, and a sample of queries of some words."""
    sets = [load_set(name, "test") for name in SETS]
    found = list(dict.fromkeys(text for each in sets for text in each.texts))[:texts]
    asked = sorted({q.text for each in sets for q in each.queries if _SHORT <= len(q.text.split()) <= _LONG})
    return found, random.Random(SEED).sample(asked, min(queries, len(asked)))


def _query_table(query: dict[str, Any]) -> dict[str, Any]:
    rows = [[f"{name}, ms", *(f"{query[c]['milliseconds'][name]:.2f}" for c in CLOCKS)] for name in _STAGES]
    rows.append(["what words add, ms", *(f"{query[c]['words']:.2f}" for c in CLOCKS)])
    for name in (WITHOUT, WITH):
        rows.append(
            [f"{name} / plain parts", *(f"{query[c]['ratio to plain parts'][name]:.2f}" for c in CLOCKS)]
        )
    return _table("query", "A query, medians", rows)


_STAGES = (ENCODING, CHROMA, WITHOUT, WITH)


def _indexing_table(indexing: dict[str, Any]) -> dict[str, Any]:
    rows = [
        [f"{name}, s", *(f"{indexing['medians'][c][name]:.1f}" for c in CLOCKS)] for name in (WITHOUT, WITH)
    ]
    ratios = indexing["rate with over rate without"]
    rows.append(["rate with words / rate without", *(f"{ratios[c]:.3f}" for c in CLOCKS)])
    return _table("indexing", "Indexing all texts", rows)


def _table(name: str, title: str, rows: list[list[str]]) -> dict[str, Any]:
    """A table of a result, shown, too."""
    columns = ["", *CLOCKS]
    show(title, columns, rows)
    return {"name": name, "title": title, "columns": columns, "rows": rows}


if __name__ == "__main__":
    main()
