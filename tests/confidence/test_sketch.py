"""Sketches of queries against sets."""

import pytest

from uec_retriever.confidence.sketch import SIZE, query_sketch, shared_share

QUERIES = [f"query {i}" for i in range(1000)]


def test_it_depends_on_the_queries_alone():
    assert query_sketch(QUERIES) == query_sketch(reversed(QUERIES)) == query_sketch(QUERIES * 2)
    assert len(query_sketch(QUERIES)) == SIZE
    assert not any("query" in each for each in query_sketch(QUERIES))


@pytest.mark.parametrize("number", [1, 10, SIZE])
def test_few_queries_are_known_exactly(number):
    sketch = query_sketch(QUERIES[:number])
    assert shared_share(sketch, QUERIES) == 1
    assert shared_share(sketch, QUERIES[number:]) == 0
    assert shared_share(sketch, QUERIES[number - 1 :]) == 1 / number


def test_many_are_known_about():
    sketch = query_sketch(QUERIES)
    assert shared_share(sketch, QUERIES[500:]) == pytest.approx(0.5, abs=0.2)
    assert shared_share(sketch, ["another"]) == 0
    assert shared_share((), QUERIES) == 0
