"""How to store variances: bytes per record, score error, and time to rescore 100 candidates, per codec.

    python -m benchmarks.codec
    python -m benchmarks.codec --texts 64 --queries 8    # small

`low rank` is what the index uses (`store/codec.py`); the others quantise the variances one by one and
need the candidates' means as well. Error: of the score's deviation and of the score, against float32
variances, over all pairs of query and text.
"""

from __future__ import annotations

import argparse
import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import load_set, pairs_of, save_result, show
from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever.convolution import convolve_block
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import moments, probit_score
from uec_retriever.store.codec import VarianceCodec


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", default="cranfield")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--max-pairs", type=int, default=320)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    collection = load_set(arguments.set, "test", queries=arguments.queries)
    texts = list(collection.texts[: arguments.texts])
    pairs = pairs_of(collection, arguments.max_pairs)
    loaded = [Expert.load(str(real_model(m)), device="cpu") for m in (MINILM, WORDLLAMA)]
    rows: list[dict[str, Any]] = []
    for structure in ("kron", "diag"):
        experts = [fit_posterior(expert, pairs, structure=structure).expert for expert in loaded]
        weights = np.full((len(collection.queries), 2), 0.5)
        queries = convolve_block(
            [e.encode([q.text for q in collection.queries], "query").gaussian for e in experts], weights
        )
        documents = convolve_block([e.encode(texts, "document").gaussian for e in experts])
        rows += [{"structure": structure, **row} for row in _compare(experts, queries, documents)]
    show(
        "variance codecs, MiniLM + WordLlama, 640 dimensions",
        ["structure", "codec", "bytes per record", "error of deviation", "error of score", "ms for 100"],
        [
            [
                row["structure"],
                row["codec"],
                f"{row['bytes']:.0f}",
                f"{row['deviation_error']:.1e}",
                f"{row['score_error']:.1e}",
                f"{row['milliseconds']:.2f}",
            ]
            for row in rows
        ],
    )
    save_result("codec", {"rows": rows}, arguments.out)


def _compare(
    experts: list[Expert], queries: GaussianEmbedding, documents: GaussianEmbedding
) -> list[dict[str, Any]]:
    mean, exact = moments(queries, documents)
    rows = []

    def judge(name: str, strings: list[str], variance: Callable[[int, list[str], Array], Array]) -> None:
        all_rows = np.stack([variance(q, strings, documents.mean) for q in range(len(queries))])
        hundred, means = strings[:100], documents.mean[:100]
        times = []
        for query in range(min(20, len(queries))):
            start = time.perf_counter()
            variance(query, hundred, means)
            times.append(time.perf_counter() - start)
        score_error = np.abs(probit_score(mean, all_rows) - probit_score(mean, exact)).max()
        rows.append(
            {
                "codec": name,
                "bytes": float(np.mean([len(s) for s in strings])),
                "deviation_error": float(np.abs(np.sqrt(all_rows / exact) - 1).max()),
                "score_error": float(score_error),
                "milliseconds": 1e3 * float(np.median(times)),
            }
        )

    codec = VarianceCodec([e.variance_basis for e in experts])
    low_rank = codec.to_strings(codec.code(documents))
    judge(
        f"low rank, {codec.rank} in all",
        low_rank,
        lambda q, strings, means: codec.score_variance(queries[q : q + 1], codec.from_strings(strings)),
    )
    for name, (to_bytes, from_bytes) in _ELEMENTWISE.items():
        strings = [base64.b64encode(to_bytes(row)).decode() for row in documents.variance]

        def elementwise(
            q: int, strings: list[str], means: Array, decode: Callable[[bytes], Array] = from_bytes
        ) -> Array:
            decoded = np.stack([decode(base64.b64decode(s)) for s in strings])
            return np.asarray(moments(queries[q : q + 1], GaussianEmbedding(means, decoded))[1][0])

        judge(name, strings, elementwise)
    return rows


def _log8_encode(row: Array) -> bytes:
    log = np.log(np.maximum(row, 1e-12))
    low, high = float(log.min()), float(log.max())
    levels = np.round((log - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return np.array([low, high], dtype="<f4").tobytes() + levels.tobytes()


def _log8_decode(data: bytes) -> Array:
    low, high = np.frombuffer(data[:8], dtype="<f4")
    levels = np.frombuffer(data[8:], dtype=np.uint8)
    return np.asarray(np.exp(low + levels * (high - low) / 255), dtype=np.float32)


_ELEMENTWISE: dict[str, tuple[Callable[[Array], bytes], Callable[[bytes], Array]]] = {
    "float32": (
        lambda row: row.astype("<f4").tobytes(),
        lambda data: np.frombuffer(data, dtype="<f4"),
    ),
    "float16": (
        lambda row: row.astype("<f2").tobytes(),
        lambda data: np.frombuffer(data, dtype="<f2").astype(np.float32),
    ),
    "log of 8 bits": (_log8_encode, _log8_decode),
}

if __name__ == "__main__":
    main()
