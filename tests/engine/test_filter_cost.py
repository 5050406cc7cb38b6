"""A filter costs no more than a few searches without one, however few texts pass it."""

import shutil
import statistics
import time

import pytest

from tests.engine.small import sentences
from uec_retriever.engine.engine import Engine

NUMBER = 5000
QUERIES = sentences(9, 2, 5)


@pytest.fixture(scope="module")
def engine(made_empty, tmp_path_factory):
    folder = tmp_path_factory.mktemp("filters") / "index"
    shutil.copytree(made_empty("static"), folder)
    with Engine.open(folder, device="cpu") as made:
        metadatas = [{"ten": i % 10, "thousand": i % 1000} for i in range(NUMBER)]
        made.add(sentences(NUMBER, 3), [str(i) for i in range(NUMBER)], metadatas)
        yield made


def seconds(engine, where):
    """CPU time of a search, the median: other work on the machine counts little."""
    times = []
    for query in QUERIES:
        start = time.process_time()
        engine.search(query, where=where)
        times.append(time.process_time() - start)
    return statistics.median(times)


@pytest.mark.parametrize(
    "where", [{"ten": 3}, {"thousand": 3}, {"thousand": -1}], ids=["1/10", "1/1000", "none"]
)
def test_a_filter_costs_at_most_five_searches_without_one(engine, where):
    seconds(engine, where)  # reads what is kept from then on
    best = min(seconds(engine, where) / seconds(engine, None) for _ in range(3))
    assert best < 5
