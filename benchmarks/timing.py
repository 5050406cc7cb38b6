"""What the benchmarks of time and memory share: a stopwatch by stage, growth exponents, synthetic embeddings."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import linregress
from scipy.stats import t as student

from benchmarks.common import SEED
from uec_retriever.gaussian import Array


@dataclass
class Stopwatch:
    """Times of stages, in the order of their measurement.

    Attributes:
        clock: seconds; wall time, or `time.process_time` for CPU time, which other processes do not disturb.
        milliseconds: stage -> its times.
    """

    clock: Callable[[], float] = time.perf_counter
    milliseconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, stage: str, run: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call, add the time that it took, and return what it returned."""
        start = self.clock()
        outcome = run(*arguments, **options)
        self.add(stage, self.clock() - start)
        return outcome

    def add(self, stage: str, seconds: float) -> None:
        """Add a time that was measured elsewhere."""
        self.milliseconds.setdefault(stage, []).append(1e3 * seconds)

    def medians(self, skip: int = 0) -> dict[str, float]:
        """Median of each stage, without its first `skip` times, which warm up."""
        return {stage: median(values[skip:]) for stage, values in self.milliseconds.items()}


def median(values: Sequence[float]) -> float:
    """The median, as a plain number."""
    return float(statistics.median(values))


def growth(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Exponent b of `values = a sizes^b`: least squares on logarithms, with the 95 % interval of the slope.

    The interval is Student's, so it holds misfit (a constant cost beside a linear one) as well as noise; with
    two sizes there is none.

    Args:
        sizes: at least two different ones, > 0.
        values: as many, > 0.
    """
    fit = linregress(np.log(sizes), np.log(values))
    slope, freedom = float(fit.slope), len(sizes) - 2
    half = float(fit.stderr * student.ppf(0.975, freedom)) if freedom > 0 else float("nan")
    low, high = (slope - half, slope + half) if half == half else (slope, slope)
    return {"exponent": slope, "low": low, "high": high}


def exponent(found: dict[str, float]) -> str:
    """What `growth` found, for a table."""
    return f"{found['exponent']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def peak_bytes(run: Callable[[], Any]) -> int:
    """Most memory that a call holds at once beyond what was there, by what numpy allocates."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def unit_vectors(number: int, dimension: int, seed: int = SEED) -> Array:
    """`[number, dimension]` random directions, float32."""
    vectors = np.random.default_rng(seed).standard_normal((number, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
