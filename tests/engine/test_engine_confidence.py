import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.engine.small import answers, pairs, sentences, telling
from uec_retriever.confidence.fit import Kind
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.prior import WITH_WORDS
from uec_retriever.confidence.queries import LabelledQuery
from uec_retriever.data.corpus import Corpus, read_queries
from uec_retriever.data.pairs import CalibrationPairs, pseudo_pairs
from uec_retriever.data.qrels import read_relevant
from uec_retriever.engine.confidence import ConfidenceOptions, search_queries
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import Expert

TEXTS = telling(200)
IDS = [f"id{i}" for i in range(len(TEXTS))]
QUERIES = sentences(12, 2, 5)


@pytest.fixture(scope="module")
def engine(tmp_path_factory, loaded, fitted):
    engine = Engine.create(
        tmp_path_factory.mktemp("confidence") / "index",
        [loaded["static"], loaded["bert"]],
        Recipe(pairs(), [fitted["static"], fitted["bert"]]),
    )
    engine.add(TEXTS, ids=IDS, metadatas=[{"n": i} for i in range(len(TEXTS))])
    return engine


@pytest.fixture(scope="module")
def calibrated(engine):
    """The same index, calibrated; the other tests must not undo that."""
    return engine, engine.calibrate_confidence(k=5)


def test_without_calibration_there_is_none(make):
    engine = make("static")
    engine.add(TEXTS[:20])
    result = engine.search("cat dog")
    assert result.confidence is None
    assert "Engine.calibrate_confidence" in result.confidence_reason
    assert engine.manifest.confidence is None


def test_confidence_comes_with_every_search(calibrated):
    engine, report = calibrated
    results = engine.search_batch(QUERIES, 3)
    assert all(type(r.confidence) is float and 0 <= r.confidence <= 1 for r in results)
    assert len({r.confidence for r in results}) == len(QUERIES)
    assert [engine.search(q, 3).confidence for q in QUERIES] == pytest.approx(
        [r.confidence for r in results], abs=1e-4
    )
    assert report.queries > 150
    assert 0.05 < report.hit_rate < 1
    assert report.positives == pytest.approx(report.hit_rate / 2, abs=0.02)


def test_it_does_not_depend_on_how_many_hits_are_asked_for(calibrated):
    engine, _ = calibrated
    expected = engine.search(QUERIES[0], 5).confidence
    for k in (1, 2, 10, 40):
        assert engine.search(QUERIES[0], k).confidence == pytest.approx(expected)
    assert engine.search(QUERIES[0], 1, candidates=70).confidence == pytest.approx(expected)


def test_a_search_for_fewer_hits_than_it_was_calibrated_for_fetches_as_many(make):
    engine = make("static")
    engine.add(TEXTS)
    engine.calibrate_confidence(k=40, limit=64)
    small, large = engine.search("cat dog", 5), engine.search("cat dog", 40)
    assert small.confidence == pytest.approx(large.confidence)
    assert small.hits == large.hits[:5]
    assert "80 candidates, not 79" in engine.search("cat dog", candidates=79).confidence_reason


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"where": {"n": 7}}, "without a filter"),
        ({"where": {"n": -1}}, "without a filter"),
        ({"candidates": 29}, "30 candidates, not 29"),
        ({"k": 1, "candidates": 1}, "30 candidates, not 1"),
        ({"temperature": 0.01}, "the temperature"),
    ],
)
def test_a_search_it_was_not_calibrated_for_has_none_and_says_why(calibrated, options, reason):
    engine, _ = calibrated
    for result in (
        engine.search("cat dog", **options),
        *engine.search_batch(["cat", "dog"], **options),
        engine.search_together(["cat dog"], **options),
    ):
        assert result.confidence is None
        assert reason in result.confidence_reason
    assert engine.search("cat dog", where={}).confidence == engine.search("cat dog").confidence > 0
    assert engine.search("cat dog").confidence_reason is None


def test_several_texts_and_embeddings_have_none_and_say_why(calibrated):
    engine, _ = calibrated
    together = engine.search_together(["cat dog", "wing heat"])
    by_embedding = engine.search_embedding(engine.embed_queries(["cat dog"])[0])
    assert (together.confidence, by_embedding.confidence) == (None, None)
    assert "one text" in together.confidence_reason
    assert "embedding" in by_embedding.confidence_reason


def test_what_was_assumed_is_recorded(calibrated):
    engine, report = calibrated
    model = ConfidenceModel.from_string(engine.manifest.confidence)
    assert (model.k, model.candidates, model.unanswerable) == (5, 30, 0.5)
    assert (model.queries, model.records) == (report.queries, len(TEXTS))
    assert model.source.startswith("pairs: ")


def test_hits_stay_what_they_were(calibrated):
    engine, _ = calibrated
    with_confidence = answers(engine, QUERIES)
    stored = engine.manifest
    dropped = engine.store.save_manifest(replace(stored, confidence=None), replacing=stored)
    plain = Engine(engine.ensemble.with_manifest(dropped), engine.store, engine._folder)
    assert answers(plain, QUERIES) == with_confidence
    assert plain.search(QUERIES[0]).confidence is None
    restored = engine.store.save_manifest(replace(dropped, confidence=stored.confidence), replacing=dropped)
    assert restored.generation == stored.generation + 2


def test_its_own_temperature_was_calibrated(calibrated):
    engine, _ = calibrated
    same = engine.search("cat dog", temperature=engine.manifest.temperature)
    assert same.confidence == engine.search("cat dog").confidence


def test_no_hits_deserve_no_confidence(make):
    engine = make("static")
    engine.add(TEXTS)
    engine.calibrate_confidence(limit=64)
    engine.delete(engine.ids())
    assert engine.search("cat dog").confidence == 0


def test_words_in_common_are_seen(calibrated):
    """An index that holds the query word by word deserves more confidence than one of other words."""
    engine, _ = calibrated
    known = [engine.search(text).confidence for text in TEXTS[:40]]
    foreign = [engine.search(f"zebra{i} quantum{i} symphony{i}").confidence for i in range(40)]
    assert np.mean(known) > np.mean(foreign) + 0.05


def test_threads_get_what_one_gets(calibrated):
    engine, _ = calibrated
    queries = sentences(32, 3, 8)
    alone = [engine.search(q, 5).confidence for q in queries]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(lambda: [engine.search(q, 5).confidence for q in queries]) for _ in range(6)]
    for job in jobs:
        assert job.result() == pytest.approx(alone, abs=1e-5)


def test_searches_go_on_during_calibration(make):
    engine = make("static")
    engine.add(TEXTS)
    expected = answers(engine, QUERIES)
    done, found, errors = threading.Event(), [], []

    def searching():
        while not done.is_set():
            try:
                found.append(engine.search_batch(QUERIES, 10))
            except Exception as error:
                errors.append(error)
                return

    thread = threading.Thread(target=searching)
    thread.start()
    try:
        engine.calibrate_confidence(limit=64)
    finally:
        done.set()
        thread.join()
    assert errors == [] and found
    assert answers(engine, QUERIES) == expected
    for results in found:  # each before or after, none in between
        assert len({r.confidence is None for r in results}) == 1


def test_the_same_seed_gives_the_same(calibrated, engine):
    before = engine.manifest
    assert engine.calibrate_confidence(k=5) == calibrated[1]
    assert engine.manifest == before


def test_progress_and_limit(make):
    engine = make("static")
    engine.add(TEXTS)
    done = []
    report = engine.calibrate_confidence(limit=80, progress=done.append)
    assert sum(done) == 80
    assert report.queries <= 80


def test_an_answer_is_planted_as_the_index_would_hold_it(engine):
    """A text that is in the index scores, planted, what the record scores."""
    text = TEXTS[3]
    query = " ".join(text.split()[:3])
    question = LabelledQuery(query, (text,), planted=text)
    made = search_queries(
        engine.ensemble, engine.store, engine.words, [question], ConfidenceOptions(k=1, batch_size=8)
    )
    assert made.kinds.tolist() == [Kind.ANSWERABLE, Kind.LEFT_OUT]
    real = engine.search(query, 30)
    assert made.hits[0] == (real.hits[0].text == text)
    assert made.signals[0]["top"] == pytest.approx(real.hits[0].raw_score, abs=1e-5)
    rest = [h.raw_score for h in real if not question.is_answered_by(h.id, h.text)]
    assert made.signals[1]["top"] == pytest.approx(rest[0], abs=1e-5)
    assert made.signals[1]["margin_10"] == pytest.approx(rest[0] - rest[9], abs=1e-5)


@pytest.mark.data
@pytest.mark.models
def test_unanswerable_queries_get_less_on_a_real_corpus(tmp_path, collections, wordllama):
    """Tools: those that a query asks for are in the index, or were taken out of it, or are not its topic."""
    folder = collections / "metatool"
    documents = list(Corpus(folder))
    engine = Engine.create(
        tmp_path / "tools",
        [Expert.load(wordllama, device="cpu")],
        pseudo_pairs([d.body for d in documents], [d.title for d in documents]),
    )
    engine.add_records(d.record for d in documents)
    gone = [d.record.id for d in documents[::3]]
    engine.delete(gone)
    report = engine.calibrate_confidence()
    assert report.auroc > 0.65
    assert report.ece < 0.12
    right = read_relevant(folder, folder / "qrels" / "test.tsv")
    absent = [q for q, ids in right.items() if ids <= set(gone)][:200]
    present = [q for q, ids in right.items() if not ids & set(gone)][:200]
    elsewhere = [text for _, text in read_queries(collections / "cranfield")][:200]
    confidence = {
        name: np.array([r.confidence for r in engine.search_batch(queries)])
        for name, queries in (("present", present), ("absent", absent), ("elsewhere", elsewhere))
    }
    for other, least in (("absent", 0.58), ("elsewhere", 0.75)):
        labels = [1] * len(present) + [0] * len(confidence[other])
        both = np.concatenate([confidence["present"], confidence[other]])
        assert roc_auc_score(labels, both) > least, other
        assert np.median(confidence["present"]) > np.median(confidence[other])
    assert asdict(report)["queries"] > 100


def test_a_prior_joins_where_there_are_words_and_no_labels(calibrated, make):
    def of(engine):
        return ConfidenceModel.from_string(engine.manifest.confidence)

    engine, _ = calibrated
    assert of(engine).prior == WITH_WORDS
    wordless = make("static", lexical=False)
    wordless.add(TEXTS, ids=IDS)
    wordless.calibrate_confidence(k=5, limit=64)
    assert of(wordless).prior is None
    asked = make("static", folder="asked")
    asked.add(TEXTS, ids=IDS)
    labelled = {" ".join(text.split()[:4]): [i] for text, i in zip(TEXTS[:60], IDS, strict=False)}
    asked.calibrate_confidence(labelled=labelled, k=5)
    assert of(asked).prior is None
    users = CalibrationPairs(list(labelled), TEXTS[:60], source="user")
    asked.calibrate_confidence(users, k=5)
    assert of(asked).prior is None


def test_rarities_of_words_are_inverse_document_frequencies(engine):
    query = "cat dog unheardof"
    [words] = engine.words.encode(engine.manifest.lexical, [[query]])
    analyze = words.follower.analyzer.terms
    held = [set(analyze(text)) for text in TEXTS]
    expected = [
        np.log((len(TEXTS) + 1) / (1 + sum(term in each for each in held))) / np.log(len(TEXTS) + 1)
        for term in words.terms
    ]
    assert words.rarities[-1] == 0 and expected[-1] == 1  # of a word in none
    np.testing.assert_allclose(words.rarities[:-1], expected[:-1])
    assert 0 < words.rarities[0] < 1


def test_labels_in_the_place_of_pairs_are_refused_with_a_word_on_them(make):
    engine = make("static")
    engine.add(TEXTS)
    with pytest.raises(InvalidInputError, match="pairs are CalibrationPairs, got dict: .* are labelled="):
        engine.calibrate_confidence({"a question": ["0"]})
