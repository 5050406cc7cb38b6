"""A calibrated confidence is kept with the index, and dropped when scores change."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.engine.small import pairs, sentences, telling
from uec_retriever.confidence.queries import LabelledQuery
from uec_retriever.data.records import Record
from uec_retriever.engine.confidence import both_ways
from uec_retriever.gaussian import GaussianEmbedding
from uec_retriever.store.entries import Candidates
from uec_retriever.store.manifest import Manifest

TEXTS = telling(200)
IDS = [f"id{i}" for i in range(len(TEXTS))]
QUERIES = sentences(12, 2, 5)


def test_it_is_kept(make, reopen, tmp_path):
    engine = make("static", "bert")
    engine.add(TEXTS)
    engine.calibrate_confidence(limit=64)
    opened = reopen(tmp_path / "index")
    assert opened.manifest == engine.manifest
    assert [opened.search(q).confidence for q in QUERIES] == pytest.approx(
        [engine.search(q).confidence for q in QUERIES], abs=1e-5
    )


def test_on_a_server(make, reopen, server, tmp_path):
    engine = make("static", url=server, collection="confident")
    engine.add(TEXTS)
    engine.calibrate_confidence(limit=64)
    opened = reopen(tmp_path / "index", url=server, collection="confident")
    assert opened.search("cat dog").confidence == pytest.approx(engine.search("cat dog").confidence)


def test_recalibration_drops_it(make, reopen, tmp_path):
    engine = make("static", "bert")
    engine.add(TEXTS)
    engine.calibrate_confidence(limit=64)
    assert engine.store.read_manifest().confidence is not None
    engine.recalibrate(pairs(seed=5))
    for opened in (engine, reopen(tmp_path / "index")):
        assert opened.manifest.confidence is None
        assert opened.search("cat dog").confidence is None
        assert "uec:confidence" not in opened.store.collection.metadata
    engine.calibrate_confidence(limit=64)
    assert engine.search("cat dog").confidence is not None


def test_in_the_sum_layout(make):
    engine = make("static", "other", layout="sum")
    engine.add(TEXTS)
    engine.calibrate_confidence(limit=64)
    assert 0 < engine.search("cat dog").confidence < 1


def test_an_index_made_before_confidence_was_known(make, reopen, tmp_path):
    engine = make("static")
    engine.add(TEXTS[:20])
    metadata = dict(engine.store.collection.metadata)
    fields = json.loads(metadata["uec:manifest"])
    assert "confidence" not in fields
    assert Manifest.from_metadata(metadata, "uec").confidence is None
    assert reopen(tmp_path / "index").search("cat dog").confidence is None


@pytest.mark.parametrize("string", ["{", json.dumps({"format": 99})])
def test_a_confidence_that_cannot_be_read_does_not_stop_a_search(make, reopen, tmp_path, string, caplog):
    engine = make("static")
    engine.add(TEXTS)
    engine.store.save_manifest(replace(engine.manifest, confidence=string), replacing=engine.manifest)
    opened = reopen(tmp_path / "index")
    assert opened.search("cat dog").confidence is None
    assert "calibrate it anew" in caplog.text
    opened.calibrate_confidence(limit=64)
    assert opened.search("cat dog").confidence is not None


def test_what_is_left_out_makes_room_for_the_next():
    """Answers at the first places of both legs, as texts that share a title are, leave as many candidates."""
    ranks = np.repeat(np.arange(60), 2)
    records = [Record(f"r{i}", f"text {i}") for i in range(120)]
    found = Candidates(records, np.linspace(1, 0, 120), [""] * 120, ranks)
    query = GaussianEmbedding(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
    for answers in (range(60), range(10), [0, 5, 119], range(0, 60, 2)):
        labelled = LabelledQuery("a question", (), ids=frozenset(f"r{i}" for i in answers))
        (_, right), (left_out, none) = both_ways(labelled, query, found, None, 30)
        assert right and not none
        assert not {r.id for r in left_out.records} & right
        kept = [i for i in range(120) if f"r{i}" not in right]
        assert len(left_out) >= 59
        assert [r.id for r in left_out.records] == [f"r{i}" for i in kept[: len(left_out)]]
