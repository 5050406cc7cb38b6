"""Words that cannot be read: searches go on without them, and claim nothing that was learnt with them."""

import logging
import shutil

import pytest

from tests.engine.small import telling
from uec_retriever.engine.engine import Engine
from uec_retriever.errors import StorageError
from uec_retriever.evaluation.confidence_queries import ask_queries
from uec_retriever.store.lexical.index import LexicalIndex

TEXTS = telling(120)
LABELLED = {text.split(".")[0]: [f"id{i}"] for i, text in enumerate(TEXTS[:40])}
READS = ["statistics", "search", "frequencies"]
"""What a search reads of a lexical index, from encoding to scoring."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory, loaded, made_empty):
    folder = tmp_path_factory.mktemp("unreadable") / "index"
    shutil.copytree(made_empty("static"), folder)
    with Engine.open(folder, experts={"static": loaded["static"]}) as engine:
        engine.add(TEXTS, ids=[f"id{i}" for i in range(len(TEXTS))])
        engine.calibrate_confidence(k=5)
        engine.calibrate_coverage(LABELLED)
        yield engine


@pytest.fixture(params=READS)
def unreadable(request, monkeypatch):
    """Words are not to be read, at one of the places where they are."""

    def fail(*args, **kwargs):
        raise StorageError("disk I/O error")

    monkeypatch.setattr(LexicalIndex, request.param, fail)
    return monkeypatch


QUERY = next(iter(LABELLED))
SEARCHES = {
    "one": lambda engine, **options: engine.search(QUERY, **options),
    "batch": lambda engine, **options: engine.search_batch(["cat", QUERY], **options)[1],
    "together": lambda engine, **options: engine.search_together([QUERY], **options),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_hits_without_words_have_no_confidence_and_no_guarantee(engine, unreadable, search, caplog):
    with caplog.at_level(logging.WARNING):
        result = search(engine, coverage=0.8)
    assert "searching without words" in caplog.text
    assert result.hits and result.coefficients["words"] == 0
    assert result.confidence is None and {hit.relevance for hit in result} == {None}
    for reason in (result.confidence_reason, result.promise.reason):
        assert "with words" in reason and "disk I/O error" in reason
    assert not result.promise.holds
    unreadable.undo()
    again = search(engine, coverage=0.8)
    assert again.confidence is not None and again.hits[0].relevance is not None and again.promise.holds


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("option", ["min_confidence", "min_relevance"])
def test_what_cannot_do_without_confidence_is_not_searched(engine, unreadable, search, option):
    with pytest.raises(StorageError, match="lexical index cannot be read: disk I/O error"):
        search(engine, **{option: 0.1})


def test_nothing_is_calibrated_or_compared_without_them(engine, unreadable):
    before = engine.manifest
    for call in (
        engine.calibrate_confidence,
        lambda: engine.calibrate_coverage(LABELLED),
        lambda: engine.recalibrate_share(LABELLED),
        lambda: ask_queries(engine, LABELLED, 0.5),
    ):
        with pytest.raises(StorageError, match="lexical index cannot be read: disk I/O error"):
            call()
    assert engine.manifest == before


def test_an_index_that_was_calibrated_without_words_keeps_its_confidence(make, unreadable):
    with make("static", lexical=False) as engine:
        engine.add(TEXTS)
        engine.calibrate_confidence(k=5, limit=64)
        assert engine.search(QUERY, min_confidence=0.0).confidence is not None
