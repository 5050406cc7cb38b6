"""Time and memory of the method's own steps against K experts, D dimensions and N candidates, and what they add.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --experts 1 2 --dimensions 16 32 --candidates 50 100 --repeats 3 --queries 3   # small

One query, synthetic Gaussians of one variance profile per expert (what `kron` gives), block layout, so vectors of
K D numbers. Stages: coefficients; convolution of the query; dot product with N candidates, for comparison; the
uncertainty-aware similarity (moments and probit score, the dot product included) with the candidates' variances in
full, as in the paper, and coded, as in the index. One of K, D and N grows, the others stay at `--base`. All stages
run in turn in each repetition; times are medians of CPU time on one thread.

Second part: how much the similarity adds to a whole query, encoding by real models included (the UEC paper says
0.6 %), for each N.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from threadpoolctl import threadpool_limits

from benchmarks.common import SEED, console, save_result, show
from benchmarks.scaling_report import scaling_report
from benchmarks.timing import Stopwatch, exponent, growth, peak_bytes, unit_vectors
from devtools.models import MINILM, MPNET, WORDLLAMA, real_model
from uec_retriever.convolution import coefficients, convolve_block
from uec_retriever.data.stdlib_docs import docstring_pairs, standard_library_docstrings
from uec_retriever.engine.engine import Engine
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import moments, probit_score
from uec_retriever.store.codec import CodedVariances, VarianceCodec

STAGES = ("coefficients", "convolution", "dot product", "similarity, full", "similarity, coded")
VARIANCE = 1e-3  # tr(Sigma) of a text under an expert, of the order of fitted ones
ENSEMBLES = {
    "WordLlama": (WORDLLAMA,),
    "MiniLM": (MINILM,),
    "MiniLM + WordLlama": (MINILM, WORDLLAMA),
    "mpnet + MiniLM + WordLlama": (MPNET, MINILM, WORDLLAMA),
}
Runs = dict[str, Callable[[], Any]]


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experts", type=int, nargs="+", default=[1, 2, 4, 8], help="K")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 128, 256, 512, 1024], help="D")
    parser.add_argument("--candidates", type=int, nargs="+", default=[1000, 3000, 10000, 30000, 100000])
    parser.add_argument("--base", type=int, nargs=3, default=[2, 384, 10000], help="K D N where they stay")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--queries", type=int, default=30, help="real queries")
    parser.add_argument("--ensembles", nargs="*", choices=ENSEMBLES, default=list(ENSEMBLES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        experts, dimension, candidates = arguments.base
        sweeps = {
            "K": _sweep("K", arguments.experts, lambda k: (k, dimension, candidates), arguments.repeats),
            "D": _sweep("D", arguments.dimensions, lambda d: (experts, d, candidates), arguments.repeats),
            "N": _sweep("N", arguments.candidates, lambda n: (experts, dimension, n), arguments.repeats),
        }
        sizes = sorted({30, 100, *arguments.candidates})
        shares = {
            name: measure_share(ENSEMBLES[name], sizes, arguments.queries) for name in arguments.ensembles
        }
    for name, found in shares.items():
        _show_share(name, found)
    base = {"experts": experts, "dimension": dimension, "candidates": candidates}
    result = {"clock": "CPU time, one thread", "base": base, "repeats": arguments.repeats}
    figures = {"sweeps": sweeps, "share": shares, **scaling_report(sweeps, shares)}
    save_result("scaling", {**result, **figures}, arguments.out)


def _sweep(
    symbol: str, sizes: Sequence[int], case: Callable[[int], tuple[int, int, int]], repeats: int
) -> dict[str, Any]:
    """Times, bytes and exponents as one of K, D and N grows."""
    rows = [measure_case(*case(size), repeats) for size in sizes]
    found: dict[str, Any] = {"sizes": list(sizes)}
    for kind in rows[0]:
        values = {stage: [row[kind][stage] for row in rows] for stage in rows[0][kind]}
        grown = {stage: growth(sizes, v) for stage, v in values.items() if min(v) > 0 and len(sizes) > 1}
        found[kind] = {"values": values, "growth": grown}
        show(
            f"{kind} against {symbol}",
            ["stage", *(f"{size:,}" for size in sizes), "exponent"],
            [
                [
                    stage,
                    *(_number(v) for v in values[stage]),
                    exponent(grown[stage]) if stage in grown else "",
                ]
                for stage in values
            ],
        )
    return found


def measure_case(experts: int, dimension: int, candidates: int, repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a query by stage, bytes kept for N candidates, most bytes held during a stage."""
    runs, kept = prepare(experts, dimension, candidates)
    watch = Stopwatch(time.process_time)
    for _ in range(repeats + 1):  # the first one warms up
        for stage, run in runs.items():
            watch.time(stage, run)
    return {
        "milliseconds": watch.medians(skip=1),
        "bytes kept": kept,
        "bytes held meanwhile": {stage: float(peak_bytes(run)) for stage, run in runs.items()},
    }


def prepare(experts: int, dimension: int, candidates: int) -> tuple[Runs, dict[str, float]]:
    """The stages of one query, and the bytes of what an index keeps, on synthetic Gaussians."""
    generator = np.random.default_rng(SEED)
    profiles = [generator.random((1, dimension), dtype=np.float32) + 0.5 for _ in range(experts)]
    codec = VarianceCodec([p / p.sum() for p in profiles])
    blocks = [unit_vectors(candidates + 1, dimension, seed) for seed in range(experts)]
    means = np.concatenate(blocks, axis=1)
    traces = VARIANCE * (0.5 + generator.random((candidates + 1, experts), dtype=np.float32))
    coded = CodedVariances(
        traces[1:],
        np.concatenate([b[1:] ** 2 @ u.T for b, u in zip(blocks, codec.bases, strict=True)], axis=1),
    )
    variances = codec.decode_variance(CodedVariances(traces, traces))
    query = [
        GaussianEmbedding(m, v)
        for m, v in zip(np.split(means[:1], experts, 1), np.split(variances[:1], experts, 1), strict=True)
    ]
    documents = GaussianEmbedding(np.ascontiguousarray(means[1:]), np.ascontiguousarray(variances[1:]))
    zero, prior = np.full(experts, np.log(VARIANCE)), np.full(experts, 1 / experts)
    weights = np.full((1, experts), 1 / experts)
    fused = convolve_block(query, weights)
    runs: Runs = {
        "coefficients": lambda: coefficients(
            np.stack([e.trace for e in query], axis=1), 1.0, zero=zero, prior=prior
        ),
        "convolution": lambda: convolve_block(query, weights),
        **similarities(fused, documents, coded, codec),
    }
    kept = {
        "means": documents.mean.nbytes,
        "variances, full": documents.variance.nbytes,
        "variances, coded": coded.coefficients.nbytes + coded.projections.nbytes,
    }
    return runs, {name: float(size) for name, size in kept.items()}


def similarities(
    query: GaussianEmbedding, documents: GaussianEmbedding, coded: CodedVariances, codec: VarianceCodec
) -> Runs:
    """The dot product, and both ways to the uncertainty-aware similarity, of one query with all documents."""

    def dot() -> Array:
        return np.asarray(query.mean @ documents.mean.T)

    return {
        "dot product": dot,
        "similarity, full": lambda: probit_score(*moments(query, documents)),
        "similarity, coded": lambda: probit_score(dot()[0], codec.score_variance(query, coded)),
    }


def measure_share(models: tuple[str, ...], sizes: Sequence[int], queries: int) -> dict[str, Any]:
    """How much the similarity adds to a query of real models, for growing numbers of candidates."""
    texts = [text for _, text in standard_library_docstrings("[q-z]*.py")][:queries]
    asked = [text.split("\n")[0] for text in texts]
    plain = [SentenceTransformer(str(real_model(m)), device="cpu") for m in models]
    with tempfile.TemporaryDirectory() as folder:
        experts = [Expert.load(str(real_model(m)), device="cpu") for m in models]
        with Engine.create(Path(folder), experts, docstring_pairs(64)) as engine:
            ensemble = engine.ensemble
    blocks = [unit_vectors(max(sizes), e.dimension, seed) for seed, e in enumerate(experts)]
    traces = ensemble.codec.code(ensemble.encode_documents(texts).gaussian).coefficients
    chosen = np.random.default_rng(SEED).integers(len(texts), size=max(sizes))
    everything = GaussianEmbedding(
        np.concatenate(blocks, axis=1),
        ensemble.codec.decode_variance(CodedVariances(traces[chosen], traces[chosen])),
    )
    coded = ensemble.codec.code(everything)
    parts = {
        size: (everything[:size], CodedVariances(coded.coefficients[:size], coded.projections[:size]))
        for size in sizes
    }

    def encode_plainly(query: str) -> list[Any]:
        return [model.encode_query([query], normalize_embeddings=True) for model in plain]

    watch = Stopwatch(time.process_time)
    for query in [*asked[:2], *asked]:  # the first ones warm up
        watch.time("plain encoding", encode_plainly, query)
        fused = watch.time("encoding", ensemble.encode_queries, [query]).gaussian
        for size, part in parts.items():
            for stage, run in similarities(fused, *part, ensemble.codec).items():
                watch.time(f"{stage}, {size}", run)
    milliseconds = watch.medians(skip=2)
    return {
        "dimension": ensemble.manifest.dimension,
        "queries": len(asked),
        "milliseconds": milliseconds,
        "candidates": {str(size): _shares(milliseconds, size) for size in sizes},
    }


def _shares(milliseconds: dict[str, float], size: int) -> dict[str, float]:
    dot = milliseconds[f"dot product, {size}"]
    found = {}
    for way in ("full", "coded"):
        similarity = milliseconds[f"similarity, {way}, {size}"]
        whole = milliseconds["encoding"] + similarity
        found[f"{way}: similarity of the query"] = similarity / whole
        found[f"{way}: added by the variances"] = max(0.0, similarity - dot) / whole
    return found


def _show_share(name: str, found: dict[str, Any]) -> None:
    milliseconds = found["milliseconds"]
    show(
        f"{name} ({found['dimension']} dimensions): share of a query with N candidates",
        ["N", "dot product ms", *next(iter(found["candidates"].values()))],
        [
            [
                f"{int(size):,}",
                f"{milliseconds[f'dot product, {size}']:.3f}",
                *(f"{v:.2%}" for v in shares.values()),
            ]
            for size, shares in found["candidates"].items()
        ],
    )
    console.print(
        f"encoding the query, variances, coefficients and convolution included: {milliseconds['encoding']:.2f} ms; "
        f"the same models without: {milliseconds['plain encoding']:.2f} ms\n"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
