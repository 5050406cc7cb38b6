"""What changes an index as a whole: recalibration, copies, other processes and servers."""

import numpy as np
import pytest
from chromadb.api.models.Collection import Collection

from tests.engine.small import answers, contents, far_pairs, hold_for_writing, numbered, pairs, sentences
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.errors import IndexBusyError, InvalidInputError, NotAnIndexError, StorageError
from uec_retriever.store.connection import connect

TEXTS = sorted(set(sentences(60, 1)))
QUERIES = sentences(6, 2, 5)


def numbers(engine, name):
    return np.array([getattr(entry, name) for entry in engine.manifest.experts])


def test_recalibration(make, reopen, encoded, tmp_path):
    engine = make(temperature=0.5, lexical=False)
    engine.add(TEXTS)
    before = engine.manifest
    texts, calibration = encoded(engine), far_pairs()
    manifest = engine.recalibrate(calibration, temperature=0)
    assert sorted(texts) == sorted([*calibration.queries, *calibration.positives] * 2)  # no document
    assert (before.temperature, manifest.temperature) == (0.5, 0)
    assert "40 pairs: far (recalibrated)" in manifest.reference
    for old, new in zip(before.experts, manifest.experts, strict=True):
        assert old.variance_factor == 1
        assert new.variance_factor > 1.2
        assert new.query_zero > old.query_zero
        assert new.document_zero > old.document_zero
        assert abs(new.prior - old.prior) > 1e-3
    assert sum(e.prior for e in manifest.experts) == pytest.approx(1)
    assert manifest.fingerprint == before.fingerprint
    for opened in (engine, reopen(tmp_path / "index")):
        assert opened.manifest == manifest
        assert sorted(opened.search("cat dog").coefficients.values()) == [0, 1]
    assert answers(opened, QUERIES) == answers(engine, QUERIES)


def test_a_calibration_that_chroma_drops_in_silence_is_no_success(make, monkeypatch):
    engine = make("static")
    before = engine.manifest
    monkeypatch.setattr(Collection, "modify", lambda *_, **__: None)
    with pytest.raises(StorageError, match="did not keep the calibration"):
        engine.recalibrate(far_pairs())
    assert engine.manifest == before


def test_zeros_after_recalibration_are_those_of_the_scaled_variances(make):
    engine = make("static")
    calibration = far_pairs()
    (entry,) = engine.recalibrate(calibration).experts
    for zero, texts, role in (
        (entry.query_zero, calibration.queries, "query"),
        (entry.document_zero, calibration.positives, "document"),
    ):
        trace = engine.experts[0].encode(texts, role).gaussian.trace * entry.variance_factor
        assert zero == pytest.approx(np.log(trace).mean(), abs=1e-5)


def test_deviations_scale_with_recalibration(make, reopen, tmp_path):
    """v = mu_q^2 S_c + S_q mu_c^2 + S_q S_c: both variances grow by f, so v by f to f^2, unless a trace reaches 1."""
    engine = make("static", lexical=False)
    engine.add(TEXTS)
    before = {h.id: h.deviation**2 for h in engine.search("cat dog", 60)}
    engine.recalibrate(far_pairs())
    (factor,) = numbers(engine, "variance_factor")
    assert factor > 1.2
    expert = engine.experts[0]
    assert expert.encode(["cat dog"], "query").gaussian.trace[0] * factor < 1
    for opened in (engine, reopen(tmp_path / "index")):
        hits = opened.search("cat dog", 60).hits
        assert len(hits) == len(TEXTS)
        ratios = np.array([h.deviation**2 / before[h.id] for h in hits])
        free = expert.encode([h.text for h in hits], "document").gaussian.trace * factor < 1
        assert free.sum() > len(TEXTS) / 2
        assert (ratios[free] > factor).all()
        assert (ratios < factor**2).all()


def test_recalibrating_twice_is_recalibrating_once(make):
    engine = make()
    engine.add(TEXTS)
    engine.recalibrate(pairs(seed=5), temperature=2.0)
    engine.recalibrate(far_pairs())
    twice = engine.manifest
    once = make(folder="once")
    once.add(TEXTS)
    once.recalibrate(far_pairs())
    assert once.manifest == twice
    assert answers(once, QUERIES) == answers(engine, QUERIES)


def test_documents_added_after_recalibration_are_like_those_before(make):
    before, after = make(folder="before"), make(folder="after")
    before.add(TEXTS)
    before.recalibrate(far_pairs())
    after.recalibrate(far_pairs())
    after.add(TEXTS)
    assert answers(after, QUERIES) == answers(before, QUERIES)


def test_the_sum_layout_cannot_be_recalibrated(make):
    with pytest.raises(InvalidInputError, match="use reindex"):
        make("static", "other", layout="sum").recalibrate(pairs())


def test_copying_is_indexing_anew(make):
    source, target = make("static", folder="source"), make("bert", "other", folder="target")
    ids, metadatas = [str(i) for i in range(len(TEXTS))], [{"n": i, "x": 0.1 * i} for i in range(len(TEXTS))]
    source.add(TEXTS, ids, metadatas)
    report = source.copy_to(target)
    assert report.added == len(TEXTS)
    assert contents(target) == contents(source)
    anew = make("bert", "other", folder="anew")
    anew.add(TEXTS, ids, metadatas)
    assert answers(target, QUERIES) == answers(anew, QUERIES)


def test_an_interrupted_copy_goes_on(make, encoded):
    source, target = make("static", folder="source"), make("other", folder="target")
    source.add_records(numbered(600))

    def interrupt(done):
        if target.count() >= 256:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.copy_to(target, progress=interrupt)
    there = target.count()
    assert 0 < there < 600
    texts = encoded(target)
    report = source.copy_to(target)
    assert (report.added, report.unchanged) == (600 - there, there)
    assert len(texts) == 600 - there
    assert contents(target) == contents(source)


def test_a_second_writing_process_is_refused(make, processes, tmp_path):
    engine = make("static")
    engine.add(TEXTS)
    ours, theirs = processes.Pipe()
    child = processes.Process(target=hold_for_writing, args=(str(tmp_path / "index"), theirs), daemon=True)
    child.start()
    try:
        assert ours.poll(60)
        assert ours.recv() == "writing"
        for write in (
            lambda: engine.add(["new"]),
            lambda: engine.delete(["x"]),
            lambda: engine.recalibrate(pairs()),
        ):
            with pytest.raises(IndexBusyError, match="another process.*chroma run --path .*/chroma"):
                write()
        assert len(engine.search("cat", 5)) == 5
        ours.send("go on")
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()
    assert engine.add(["new"]).added == 1


def test_a_writer_that_was_killed_leaves_no_lock(make, processes, tmp_path):
    engine = make("static")
    ours, theirs = processes.Pipe()
    child = processes.Process(target=hold_for_writing, args=(str(tmp_path / "index"), theirs), daemon=True)
    child.start()
    assert ours.poll(60)
    child.kill()
    child.join()
    assert engine.add(["new"]).added == 1


def test_a_server_answers_as_an_embedded_index(make, reopen, server, tmp_path):
    embedded = make(folder="embedded")
    served = make(folder="served", url=server, collection="same")
    metadatas = [{"n": i, "tags": ["a", "b"], "x": 0.1 * i, "yes": i % 2 == 0} for i in range(len(TEXTS))]
    for engine in (embedded, served):
        assert engine.add(TEXTS, metadatas=metadatas).added == len(TEXTS)
        assert engine.add(TEXTS, metadatas=metadatas).unchanged == len(TEXTS)
    assert answers(served, QUERIES, 60) == answers(embedded, QUERIES, 60)
    assert contents(served) == contents(embedded)
    opened = reopen(tmp_path / "served", url=server, collection="same")
    assert opened.manifest == served.manifest
    for engine in (embedded, opened):
        assert engine.delete(where={"yes": True}) == len(TEXTS) // 2
        assert engine.add(["cat dog"]).added == 1
        engine.recalibrate(far_pairs())
        with pytest.raises(InvalidInputError, match=r"\$near"):
            engine.search("cat", where={"n": {"$near": 1}})
    assert answers(opened, QUERIES, 60) == answers(embedded, QUERIES, 60)
    assert not (tmp_path / "served" / "chroma" / "chroma.sqlite3").exists()


def test_a_client_of_ones_own(make, reopen, server, tmp_path):
    client = connect(url=server)
    made = make("static", client=client, collection="own")
    made.add(TEXTS)
    assert Engine.open(
        Location(tmp_path / "index", client=client, collection="own"), device="cpu"
    ).count() == len(TEXTS)
    assert reopen(tmp_path / "index", url=server, collection="own").count() == len(TEXTS)


def test_a_server_without_the_index(make, server, tmp_path):
    with pytest.raises(NotAnIndexError, match="no collection 'absent'"):
        Engine.open(Location(tmp_path / "index", url=server, collection="absent"))
    make("static", url=server, collection="taken")
    with pytest.raises(StorageError, match=f"'taken' in {server} already"):
        make("static", folder="b", url=server, collection="taken")
