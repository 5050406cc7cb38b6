"""Fitting: the closed-form curvature against a loop of per-sample gradients, and growth with the pairs.

    python -m benchmarks.fitting
    python -m benchmarks.fitting --pairs 32 --loop-pairs 8    # small

Both sides get the same features and embeddings of all-MiniLM-L6-v2 and yield the same diagonal GGN
(the largest relative difference is printed); the loop differentiates every logit of every anchor with
autograd.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import console, load_set, pairs_of, save_result, show
from benchmarks.timing import exponent, growth
from devtools.models import MINILM, real_model
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.head import Linearised
from uec_retriever.laplace.curvature import Curvature

TAU = 0.05


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", default="cranfield")
    parser.add_argument("--pairs", type=int, default=256, help="pairs in the largest fit")
    parser.add_argument("--loop-pairs", type=int, default=32, help="pairs in the loop's batch")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    expert = Expert.load(str(real_model(MINILM)), device="cpu")
    pairs = pairs_of(load_set(arguments.set, "test"), arguments.pairs)
    start = time.perf_counter()
    queries = expert.linearise(pairs.queries, "query")
    positives = expert.linearise(pairs.positives, "document")
    encoding = time.perf_counter() - start
    speed = compare_with_loop(expert, queries, positives, min(arguments.loop_pairs, len(pairs)))
    growth = measure_growth(queries, positives, encoding)
    save_result("fitting", {"pairs": len(pairs), "loop": speed, "growth": growth}, arguments.out)


def compare_with_loop(
    expert: Expert, queries: Linearised, positives: Linearised, number: int
) -> dict[str, Any]:
    """Seconds of both for one batch, and how far the results are apart."""
    batch = [(t.features[:number], t.embeddings[:number], t.gain) for t in (queries, positives)]
    closed = Curvature("diag", TAU)
    closed.update_pairs(batch[0], batch[1])  # warm up
    start = time.perf_counter()
    closed = Curvature("diag", TAU)
    closed.update_pairs(batch[0], batch[1])
    closed_seconds = time.perf_counter() - start
    weight = expert.last_layer.weight.detach()
    start = time.perf_counter()
    looped = per_sample_loop(weight, *batch[0], batch[1][1])
    looped = looped + per_sample_loop(weight, *batch[1], batch[0][1])
    loop_seconds = time.perf_counter() - start
    assert closed.fisher_sum is not None
    exact = closed.fisher_sum.T
    difference = float((looped - exact).abs().max() / exact.abs().max())
    ratio = loop_seconds / closed_seconds
    console.print(
        f"diagonal GGN of {number} pairs: per-sample gradients {loop_seconds:.2f} s, closed form "
        f"{closed_seconds:.4f} s, {ratio:.0f} times faster; largest difference {difference:.1e} of the largest entry"
    )
    return {
        "pairs": number,
        "loop_seconds": loop_seconds,
        "closed_seconds": closed_seconds,
        "ratio": ratio,
        "relative_difference": difference,
    }


def per_sample_loop(
    weight: Tensor, features: Tensor, embeddings: Tensor, gain: Tensor, candidates: Tensor
) -> Tensor:
    """`[D, I]` diagonal GGN by one backward pass per logit of every anchor."""
    units = torch.nn.functional.normalize(candidates, dim=1)
    total = torch.zeros_like(weight, dtype=torch.float64)
    for g, z in zip(features, embeddings, strict=True):
        w = weight.clone().requires_grad_(True)
        moved = z + gain * ((w - weight) @ g)
        logits = units @ torch.nn.functional.normalize(moved, dim=0) / TAU
        p = torch.softmax(logits.detach(), dim=0)
        first, second = torch.zeros_like(weight), torch.zeros_like(weight)
        for probability, logit in zip(p, logits, strict=True):
            (gradient,) = torch.autograd.grad(logit, w, retain_graph=True)
            first += probability * gradient
            second += probability * gradient**2
        total += second - first**2
    return total


def measure_growth(queries: Linearised, positives: Linearised, encoding: float) -> dict[str, Any]:
    """Seconds of the curvature against the number of pairs, in batches of 32, and the growth exponent."""
    rows, number = [], len(queries.embeddings)
    sizes = [number // 8, number // 4, number // 2, number]
    for structure in ("diag", "kron"):
        for size in sizes:
            seconds = min(_curvature_seconds(structure, queries, positives, size) for _ in range(5))
            rows.append((structure, size, seconds))
    exponents = {
        structure: growth(sizes, [s for name, _, s in rows if name == structure])
        for structure in ("diag", "kron")
    }
    show(
        "curvature, features given",
        ["structure", "pairs", "seconds"],
        [[structure, str(size), f"{seconds:.3f}"] for structure, size, seconds in rows],
    )
    console.print(
        f"growth exponents: {', '.join(f'{s} {exponent(g)}' for s, g in exponents.items())}; encoding the {number} pairs took {encoding:.1f} s, so a fit is "
        f"{rows[-1][2] / (rows[-1][2] + encoding):.1%} curvature"
    )
    return {"rows": rows, "exponents": exponents, "encoding_seconds": encoding}


def _curvature_seconds(structure: str, queries: Linearised, positives: Linearised, number: int) -> float:
    start = time.perf_counter()
    curvature = Curvature(structure, TAU)
    for first in range(0, number, 32):
        rows = slice(first, min(first + 32, number))
        curvature.update_pairs(
            (queries.features[rows], queries.embeddings[rows], queries.gain),
            (positives.features[rows], positives.embeddings[rows], positives.gain),
        )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
