"""The benchmark of coverage, on queries whose coverage is known."""

import numpy as np

from benchmarks.coverage import CANDIDATES, COVERAGES, LABELLED, measure, table
from uec_retriever.confidence.conformal import NONCONFORMITIES


def drawn(number, missed, seed=0):
    """Queries of which a share misses; where the right text is in the ranking does not depend on the scores."""
    generator = np.random.default_rng(seed)
    raw = [np.sort(generator.random(CANDIDATES))[::-1] for _ in range(number)]
    places = generator.integers(0, CANDIDATES, number)
    return raw, [[] if generator.random() < missed else [int(p)] for p in places]


def test_promises_are_kept_and_sets_that_know_nothing_are_no_smaller_than_a_fixed_number():
    rows = measure(*drawn(700, 0.0), splits=60)
    assert len(rows) == len(LABELLED) * len(NONCONFORMITIES) * len(COVERAGES)
    assert all(row["impossible"] == 0 for row in rows)
    for row in rows:
        assert abs(row["realised"] - row["coverage"]) < 0.02 + 1 / row["labelled"]
        assert 0.9 < row["ratio"] < 1.6


def test_a_promise_that_candidates_cannot_keep_is_counted_and_not_averaged():
    found = measure(*drawn(300, 0.15), splits=20)
    by = {(row["coverage"], row["labelled"]): row for row in found if row["nonconformity"] == "rank"}
    assert by[0.8, 200]["kept"] is True
    assert by[0.95, 200]["kept"] is None and by[0.95, 200]["impossible"] == 1
    shown = {
        row[0]: row[-1]
        for row in table("test", {"one": found, "two": measure(*drawn(300, 0), splits=20)})["rows"]
    }
    assert (shown["rank, 0.8, 200 queries"], shown["rank, 0.95, 200 queries"]) == ("0", "1")
