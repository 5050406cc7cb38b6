"""By the dense experts, the text itself ranks first, and pairs that say nothing leave the variances out."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtools.generated import examples
from tests.engine.small import (
    WORDS,
    answers,
    far_pairs,
    pairs,
    sentences,
    static_model,
    unrelated_pairs,
)
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.recipe import Recipe
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import fit_posterior, measure_reference

KNOWN, STRANGE = WORDS[:12], [*WORDS[12:], "n7", "日本語", "?!", "n0 n1"]
CASES = {
    "kron": (("static",), {}),
    "diag": (("static",), {"structure": "diag"}),
    "transformer": (("bert",), {}),
    "ensemble": (("static", "bert", "other"), {"temperature": 0.2}),
    "sum": (("static", "other"), {"layout": "sum", "temperature": 0.2}),
}
TEXT = st.lists(st.sampled_from([*KNOWN, *STRANGE]), min_size=1, max_size=8).map(" ".join)


def narrow_pairs():
    """Telling pairs of twelve words: every other word is new to the posterior."""
    drawn = random.Random(3)
    positives = [" ".join(drawn.choices(KNOWN, k=10)) for _ in range(96)]
    return CalibrationPairs([" ".join(p.split()[:6]) for p in positives], positives, "narrow")


@pytest.fixture(scope="module")
def narrow(loaded, tmp_path_factory):
    """Case -> an engine whose posteriors know twelve words only."""
    made = {}

    def engine(case):
        if case not in made:
            labels, options = CASES[case]
            folder = tmp_path_factory.mktemp("narrow") / "index"
            made[case] = Engine.create(folder, [loaded[n] for n in labels], Recipe(narrow_pairs(), lexical=False, **options))
        return made[case]

    return engine


@pytest.mark.parametrize("case", ["kron", "diag", "ensemble", "sum"])
def test_posteriors_of_few_words_take_other_texts_for_very_uncertain(narrow, case):
    """The ingredient of the property below: before, traces like these were discounted as they came."""
    engine = narrow(case)
    assert engine.manifest.informative
    traces = [expert.encode(STRANGE, "document").gaussian.trace.max() for expert in engine.experts]
    assert max(traces) > 2


@pytest.mark.parametrize("case", CASES)
@settings(deadline=None, max_examples=examples(30))
@given(query=TEXT, texts=st.lists(TEXT, min_size=1, max_size=12))
def test_the_text_itself_ranks_first(narrow, case, query, texts):
    found = narrow(case).rescore(query, [query, *texts])
    assert found.raw_scores[0] == pytest.approx(1, abs=1e-5)
    assert found.raw_scores[0] >= found.raw_scores.max() - 1e-5  # rounding, in float32
    assert (found.deviations >= 0).all() and (found.deviations <= 1).all()


@pytest.mark.parametrize("case", CASES)
def test_every_text_of_an_index_finds_itself(narrow, case):
    engine = narrow(case)
    bags = {tuple(sorted(text.split())): text for text in [*sentences(80, 4), *STRANGE[:-3], "n0 n1"]}
    texts = list(bags.values())  # models of bags of words take those of the same words for one text
    engine.add(texts)
    for text, result in zip(texts, engine.search_batch(texts, 3), strict=True):
        scores = {hit.text: hit.raw_score for hit in result}
        assert result.hits[0].raw_score == pytest.approx(scores[text], abs=1e-6)
        assert scores[text] == pytest.approx(1, abs=1e-5)


def log_lines(number):
    drawn = random.Random(5)
    return [
        f"2024-05-{drawn.randrange(1, 29):02} {drawn.choice(['INFO', 'WARN'])} {drawn.choice(WORDS)}"
        f"[{drawn.randrange(9999)}]: {' '.join(drawn.choices(WORDS, k=4))} n{drawn.randrange(10)}"
        for _ in range(number)
    ]


@pytest.mark.parametrize("layout", ["block", "sum"])
def test_an_index_of_log_lines_ranks_by_plain_cosine_and_prior(experts, tmp_path, reopen, caplog, layout):
    texts = list(dict.fromkeys([*log_lines(150), *STRANGE]))
    labels = ("static", "other")
    engine = Engine.from_texts(texts, experts(*labels), tmp_path / "index", Recipe(layout=layout, lexical=False))
    assert not engine.manifest.informative
    [note] = engine.manifest.notes
    assert "no more than chance" in note and note in caplog.text
    priors = {e.label: pytest.approx(e.prior) for e in engine.manifest.experts}
    for opened in (engine, reopen(tmp_path / "index")):
        assert opened.manifest.notes == [note]
        for result in opened.search_batch(texts[:10] + texts[-10:], len(texts), candidates=len(texts)):
            assert result.coefficients == priors
            assert result.hits[0].text == result.query or result.hits[0].raw_score > 1 - 1e-5
            assert {hit.deviation for hit in result} == {0}
            rows = opened.embed_documents([hit.text for hit in result])
            cosines = rows @ opened.embed_queries([result.query])[0]
            np.testing.assert_allclose([hit.raw_score for hit in result], cosines, atol=1e-5)


def test_recalibration_follows_the_same_rule_both_ways(make, reopen, tmp_path):
    engine = make("static", "bert")
    engine.add(sorted(set(sentences(60, 1))))
    before = answers(engine, ["cat dog"])
    assert engine.recalibrate(far_pairs()).informative
    told = answers(engine, ["cat dog"])
    silent = engine.recalibrate(unrelated_pairs())
    assert (silent.informative, silent.temperature) == (False, np.inf)
    for opened in (engine, reopen(tmp_path / "index")):
        assert {hit.deviation for hit in opened.search("cat dog")} == {0}
        assert "no more than chance" in opened.manifest.notes[0]
    again = engine.recalibrate(far_pairs())
    assert again.informative and again.notes == []
    assert answers(engine, ["cat dog"]) == told != before


def test_a_temperature_that_is_given_stays(make):
    assert make("static", calibration=unrelated_pairs(), temperature=0.5).manifest.temperature == 0.5


def test_one_expert_to_whom_the_pairs_say_nothing_is_enough(make):
    """Its variances cannot be compared with the others'."""
    drawn, positives = random.Random(50), sentences(40, 50, 14)
    queries = [" ".join([*drawn.choices(WORDS, k=6), *p.split()[:3]]) for p in positives]
    engine = make("static", "bert")
    weak = engine.recalibrate(CalibrationPairs(queries, positives))
    told = [measure_reference(e, CalibrationPairs(queries, positives)).likelihood for e in engine.experts]
    assert [likelihood.informative for likelihood in told] == [True, False]
    assert not weak.informative


def test_a_fit_warns_of_pairs_that_say_nothing(tmp_path, caplog):
    expert = Expert.load(static_model(tmp_path / "model", 0), label="plain", device="cpu")
    fit_posterior(expert, pairs())
    assert "no more than chance" not in caplog.text
    fit = fit_posterior(expert, unrelated_pairs())
    assert not fit.reference.likelihood.informative
    assert "expert plain: the held-out pairs say no more than chance" in caplog.text
