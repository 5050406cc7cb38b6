"""What confidence is calibrated on: questions made from the index, given, or labelled; and what is refused."""

import numpy as np
import pytest

from tests.engine.small import WORDS, pairs, telling
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.queries import LabelledQuery, index_pairs, pair_queries
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError

TEXTS = telling(200)
IDS = [f"id{i}" for i in range(len(TEXTS))]


def test_pairs_of_ones_own(make):
    engine = make("static")
    engine.add(TEXTS)
    report = engine.calibrate_confidence(pairs(60))
    assert report.queries == 60
    assert ConfidenceModel.from_string(engine.manifest.confidence).source == "pairs: user"


def test_labelled_queries(make):
    engine = make("static")
    engine.add(TEXTS, IDS)
    half = {
        " ".join(text.split()[:2] + [word]): [i] for text, i, word in zip(TEXTS, IDS, WORDS * 9, strict=False)
    }
    none = {f"unheard{i} of{i}": [] for i in range(10)}
    report = engine.calibrate_confidence(labelled={**half, **none}, k=3)
    assert report.queries == len(half) + 10
    assert 0.1 < report.hit_rate < 0.99
    model = ConfidenceModel.from_string(engine.manifest.confidence)
    assert (model.source, model.k) == ("labelled queries", 3)
    only = engine.calibrate_confidence(labelled=half, k=3, unanswerable=0)
    assert only.positives == pytest.approx(only.hit_rate)
    assert only.hit_rate == pytest.approx(
        np.mean([ids[0] in {h.id for h in engine.search(q, 3)} for q, ids in half.items()])
    )


def test_refusals(make):
    engine = make("static")
    engine.add(TEXTS[:60], IDS[:60])
    labelled = {f"cat {i}": ["id0"] for i in range(40)}
    for options, message in (
        ({"k": 60}, "the index has 60 texts, all of which are among the first 60"),
        ({"k": 0}, "k must be at least 1"),
        ({"k": 2.5}, "k must be a whole number"),
        ({"pairs": pairs(), "labelled": labelled}, "pairs or labelled queries, one of them"),
        ({"pairs": pairs(20)}, "20 queries are too few"),
        ({"labelled": {"cat": ["id0"]}}, "1 queries are too few"),
        ({"labelled": {f"cat {i}": ["nowhere"] for i in range(40)}}, "none of the 1 ids"),
        ({"labelled": {f"cat {i}": "id0" for i in range(40)}}, "dictionary of query -> list of ids"),
        ({"labelled": [("cat", ["id0"])]}, "dictionary of query -> list of ids"),
        ({"labelled": {"": ["id0"]}}, "labelled query 0 is empty"),
        ({"labelled": {f"zebra {i}": [] for i in range(40)}}, "nothing to tell apart"),
        ({"unanswerable": 1}, r"unanswerable must be in \[0, 1\)"),
        ({"limit": 3}, "limit of calibration pairs"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            engine.calibrate_confidence(**options)
    assert engine.manifest.confidence is None


def test_too_few_texts(make):
    engine = make("static")
    with pytest.raises(InvalidInputError, match="the index has 0 texts"):
        engine.calibrate_confidence()
    engine.add(TEXTS[:20])
    with pytest.raises(InvalidInputError, match="only 20 .*, 32 are needed.*too few or too short.*--data"):
        engine.calibrate_confidence()
    engine.add([f"{word} {i}" for i, word in enumerate(["cat", "dog"] * 40)])  # no half says anything
    with pytest.raises(InvalidInputError, match="only 20 .*, 32 are needed"):
        engine.calibrate_confidence(k=1)


def test_what_answers_a_question():
    question = pair_queries(
        CalibrationPairs(["A  boundary layer"] * 16, ["thin air near the wing of it"] * 16, "title")
    )[0]
    for text in (
        "A boundary Layer thin air near the wing of it",
        "on a boundary layer in general",  # holds the query
        "Thin air near  the wing of it and more",  # holds the answer
        "layer a boundary it of thin near air the wing",  # the same words
    ):
        assert question.is_answered_by("any", text), text
    assert not question.is_answered_by("any", "a layer of heat near the wing")
    own = pair_queries(CalibrationPairs(["boundary layer"] * 16, ["thin air near the wing"] * 16))[0]
    assert not own.is_answered_by("any", "on a boundary layer in general")
    assert LabelledQuery("q", (), frozenset({"x"})).is_answered_by("x", "anything")


def test_titles_serve_as_queries(make):
    engine = make("static")
    engine.add(
        [f"{WORDS[i % 35]} and {WORDS[i // 2]} {text}" for i, text in enumerate(TEXTS[:60])],
        metadatas=[
            {"title": f"{WORDS[i % 35]} and {WORDS[i // 2]}"} if i % 2 else {"title": 7} for i in range(60)
        ],
    )
    made = index_pairs(engine.pages(), limit=60)
    assert "title" in made.source
    assert any(" and " in q and len(q.split()) == 3 for q in made.queries)
