"""What an index says of its searches against the truth: real searches, figures in plain Python, and what a person reads."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from devtools.numbered import WORDS, pairs, static_model
from uec_retriever.cli.common import finite
from uec_retriever.engine.engine import Engine
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.abstention import nauc
from uec_retriever.evaluation.confidence_figures import (
    confidence_figures,
    coverage_figures,
    relevance_figures,
)
from uec_retriever.evaluation.confidence_queries import ask_queries
from uec_retriever.evaluation.confidence_study import run_confidence
from uec_retriever.evaluation.report_page import check_result, write_report
from uec_retriever.evaluation.report_page.evidence import failures
from uec_retriever.experts.expert import Expert

K = 3


def _corpus():
    generator = random.Random(3)
    return [" ".join(generator.choices(WORDS, k=9)) for _ in range(150)]


TEXTS = _corpus()
IDS = [f"id{i}" for i in range(len(TEXTS))]


def _questions(start, stop):
    """Half of a text's words and others: found often, not always."""
    generator = random.Random(start)
    return {
        f"{' '.join(generator.sample(TEXTS[i].split(), 4))} {' '.join(generator.choices(WORDS, k=5))}": [
            IDS[i]
        ]
        for i in range(start, stop)
    }


TRAIN, TEST = _questions(0, 80), _questions(80, 150)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    expert = Expert.load(static_model(folder / "static", 0), label="static", device="cpu")
    with Engine.create(folder / "index", [expert], pairs()) as engine:
        engine.add(TEXTS, ids=IDS)
        yield engine


@pytest.fixture(scope="module")
def engine(plain):
    """With confidence and coverage."""
    plain.calibrate_confidence(labelled=TRAIN, k=K)
    plain.calibrate_coverage(TRAIN, candidates=60)
    return plain


@pytest.fixture(scope="module")
def mixed(engine):
    return ask_queries(engine, TEST, 0.5, seed=1)


def test_it_asks_as_a_search_does(engine):
    asked = ask_queries(engine, TEST, 0.0)
    assert [one.query for one in asked] == list(TEST)
    for one in asked[:20]:
        result = engine.search(one.query, K)
        assert [hit.id for hit in one.result] == [hit.id for hit in result]
        for name in ("score", "deviation", "relevance"):
            got, expected = ([getattr(hit, name) for hit in r] for r in (one.result, result))
            assert got == pytest.approx(expected, abs=1e-5)
        assert one.confidence == pytest.approx(result.confidence, abs=1e-5)
        assert one.result.matched(one.result.hits[0]) == result.matched(result.hits[0])
        ranked = [hit.id for hit in engine.search(one.query, 30, candidates=30)]
        [right] = TEST[one.query]
        assert one.place == (ranked.index(right) + 1 if right in ranked else None) or one.place > 30
        assert one.is_right == (right in ranked[:K])
        for coverage in (0.5, 0.8):
            covered = engine.search(one.query, coverage=coverage)
            assert one.needed[coverage] == len(covered)
            assert (one.reached is not None and one.reached <= len(covered)) == (
                right in [hit.id for hit in covered]
            )


def test_answers_are_taken_away_from_as_many_as_asked_for(engine, mixed):
    lost = [one for one in mixed if one.taken_away]
    assert len(lost) == len(TEST) // 2
    again, other = ask_queries(engine, TEST, 0.5, seed=1), ask_queries(engine, TEST, 0.5, seed=2)
    assert [one.taken_away for one in again] == [one.taken_away for one in mixed]
    assert [one.taken_away for one in other] != [one.taken_away for one in mixed]
    for one in lost:
        assert one.right == set(TEST[one.query])
        assert not one.right & {hit.id for hit in one.result} and len(one.result) == K
        assert not one.is_right and not one.has_answer and one.place is None
    for one in lost[:10]:
        others = [hit.id for hit in engine.search(one.query, 30) if hit.id not in one.right]
        assert [hit.id for hit in one.result] == others[:K]


def test_questions_without_an_answer_count(engine):
    strangers = {f"wing flow {i}": ["nowhere"] for i in range(20)}
    asked = ask_queries(engine, {**dict(list(TEST.items())[:30]), **strangers}, 0.5)
    assert sum(not one.right for one in asked) == 20
    assert sum(one.taken_away for one in asked) == 5
    assert sum(one.has_answer for one in asked) == 25
    with pytest.raises(InvalidInputError, match="none of the 1 ids"):
        ask_queries(engine, strangers, 0.5)
    with pytest.raises(InvalidInputError, match="unanswerable"):
        ask_queries(engine, TEST, 1.0)


def test_figures_are_those_of_plain_python(mixed):
    found = confidence_figures(mixed, seed=0)
    right = np.array([one.is_right for one in mixed])
    said, top = (np.array([getattr(one, n) for one in mixed]) for n in ("confidence", "top"))
    assert 0.1 < right.mean() < 0.5
    assert found["right"]["mean"] == pytest.approx(right.mean())
    assert found["without_answer"] == len(mixed) // 2
    assert found["Brier"]["mean"] == pytest.approx(np.mean((said - right) ** 2))
    assert found["nAUC"]["confidence"]["mean"] == pytest.approx(nauc(right.astype(float), said))
    assert found["AUROC"]["top score"]["mean"] == pytest.approx(roc_auc_score(right, top))
    answered = [one.has_answer for one in mixed]
    assert found["AUROC of answers"]["confidence"]["mean"] == pytest.approx(roc_auc_score(answered, said))
    assert sum(one["searches"] for one in found["verdicts"].values()) == len(mixed)
    for words, one in found["verdicts"].items():
        own = [r for r, asked in zip(right, mixed, strict=True) if asked.result.verdict == words]
        assert one["searches"] == len(own)
        if own:
            assert one["right"]["mean"] == pytest.approx(np.mean(own))
    assert found["abstention"]["confidence"]["right"][0] == pytest.approx(right.mean())
    for cell in (found["ECE"], found["Brier"], found["AUROC"]["confidence"], found["nAUC"]["confidence"]):
        assert cell["low"] < cell["high"]


def test_relevance_is_compared_hit_by_hit(mixed):
    found = relevance_figures(mixed, seed=0)
    hits = [(hit.relevance, one.has_answer and hit.id in one.right) for one in mixed for hit in one.result]
    assert found["hits"] == len(hits)
    assert found["AUROC"]["mean"] == pytest.approx(roc_auc_score([r for _, r in hits], [p for p, _ in hits]))
    bare = [
        replace(one, result=replace(one.result, hits=[replace(h, relevance=None) for h in one.result]))
        for one in mixed
    ]
    assert relevance_figures(bare, seed=0) is None


def test_coverage_is_that_of_the_hits_returned(mixed):
    rows = coverage_figures(mixed, seed=0)
    assert rows and rows[0]["coverage"] == 0.5
    answered = [one for one in mixed if one.has_answer]
    for row in rows:
        sizes = [one.needed[row["coverage"]] for one in answered]
        covered = [
            one.reached is not None and one.reached <= s for one, s in zip(answered, sizes, strict=True)
        ]
        assert row["queries"] == len(answered)
        assert row["realised"]["mean"] == pytest.approx(np.mean(covered))
        assert row["hits"]["mean"] == pytest.approx(np.mean(sizes))
        if row["fixed"] is not None and row["fixed"] > 1:
            low, high = math.floor(row["fixed"]), math.ceil(row["fixed"])
            shares = [
                np.mean([one.reached is not None and one.reached <= k for one in answered])
                for k in (low, high)
            ]
            assert shares[0] <= row["realised"]["mean"] + 1e-9 and row["realised"]["mean"] <= shares[1] + 1e-9
    assert [row["realised"]["mean"] for row in rows] == sorted(row["realised"]["mean"] for row in rows)


def test_failures_come_with_their_evidence(engine, mixed):
    found = run_confidence(engine, TEST, unanswerable=0.5, failures=4, seed=1)["failures"]
    assert len(found) == 8
    by_query = {one.query: one for one in mixed}
    for kind in (found[:4], found[4:]):
        assert [one["confidence"] for one in kind] == sorted(
            (one["confidence"] for one in kind), reverse=True
        )
    for one in found:
        asked = by_query[one["query"]]
        assert not asked.is_right
        first = asked.result.hits[0]
        assert (one["returned"]["id"], one["returned"]["text"]) == (first.id, first.text)
        assert set(one["returned"]["matched"]) <= set(first.text.split())
        assert one["right"]["id"] in asked.right and one["right"]["place"] == asked.place
        if asked.taken_away:
            assert "taken away" in one["why"]
        elif asked.place:
            assert f"in place {asked.place} of" in one["why"] and asked.place > K
        else:
            assert "not among the" in one["why"]
    assert [by_query[one["query"]].taken_away for one in found] == [False] * 4 + [True] * 4
    best = max((one for one in mixed if not one.is_right and one.has_answer), key=lambda one: one.confidence)
    assert found[0]["query"] == best.query


def test_the_queries_that_calibrated_it_are_known(engine):
    others, same = run_confidence(engine, TEST), run_confidence(engine, TRAIN)
    assert others["warnings"] == []
    assert (
        len(same["warnings"]) == 2
        and "about 100% of the queries that calibrated the confidence" in same["warnings"][0]
    )
    assert any("Beware" in sentence for sentence in same["headline"])
    [expected] = run_confidence(engine, TEST, unanswerable=0.0)["warnings"]
    assert "expects 50% of queries without an answer, these have 0%" in expected


def test_a_page_shows_it_all(engine, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    asked = {**TEST, "<b>wing</b> & flow": ["id1"]}
    provenance = {"command": "uec", "commit": None, "versions": {}, "seed": 0, "split": "test"}
    result = json.loads(
        json.dumps(finite({**provenance, **run_confidence(engine, asked, failures=50)}), allow_nan=False)
    )
    written = write_report([result], tmp_path)
    assert [f.stem.partition("-")[2] for f in written.figures] == [
        "reliability", "risk-coverage", "coverage", "set-size",
    ]  # fmt: skip
    page = written.page.read_text()
    assert "&lt;b&gt;wing&lt;/b&gt; &amp; flow" in page and "<b>wing" not in page
    for failure in failures(check_result(result, "confidence")):
        assert dict(failure.facts)["confidence"] in page
    assert "likely in here" in page and "as promised" in page


def test_what_never_fails_or_always_does_can_be_told(mixed):
    for kind in ([one for one in mixed if one.is_right], [one for one in mixed if one.taken_away]):
        found = confidence_figures(kind, seed=0)
        assert found["nAUC"]["confidence"] is None and found["AUROC"] is None
        json.dumps(found, allow_nan=False)
    one = confidence_figures(mixed[:1], seed=0)
    assert one["searches"] == 1 and one["AUROC"] is None


def test_without_confidence_it_names_the_command(plain, engine):
    stored = engine.manifest
    bare = Engine(
        engine.ensemble.with_manifest(replace(stored, confidence=None)), engine.store, engine._folder
    )
    with pytest.raises(InvalidInputError, match="uec calibrate-confidence"):
        run_confidence(bare, TEST)


def test_without_coverage_there_are_no_set_sizes(engine):
    manifest = replace(engine.manifest, coverage=None)
    bare = Engine(engine.ensemble.with_manifest(manifest), engine.store, engine._folder)
    found = run_confidence(bare, TEST)
    assert found["coverage"] == [] and [c["name"] for c in found["curves"]] == [
        "reliability",
        "risk-coverage",
    ]
    assert [table["name"] for table in found["tables"]] == ["verdicts", "figures"]
