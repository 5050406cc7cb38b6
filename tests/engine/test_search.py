import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.special import polygamma
from scipy.stats import rankdata

from tests.engine.small import answers, pairs, sentences
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError
from uec_retriever.store.lexical_options import LexicalOptions

TEXTS = sorted(set(sentences(200, 1)))
QUERIES = sentences(12, 2, 5)


def gaussians(engine, texts, role):
    found = [expert.encode(texts, role).gaussian for expert in engine.experts]
    return [(g.mean.astype(float), g.variance.astype(float)) for g in found]


def shares(parts, zeros, priors, temperature):
    u = np.log(np.stack([v.sum(1) for _, v in parts], 1)) - zeros
    weights = priors * np.exp(-(u - u.min(1, keepdims=True)) / temperature)
    return weights / weights.sum(1, keepdims=True)


def zeros(engine, role):
    """Mean log-trace of each expert over the held-out calibration pairs."""
    held = pairs().split()[1]
    parts = gaussians(engine, held.queries if role == "query" else held.positives, role)
    return np.array([np.log(v.sum(1)).mean() for _, v in parts])


def fuse_sum(parts, pi):
    mean = sum(pi[:, k, None] * m for k, (m, _) in enumerate(parts))
    variance = sum(pi[:, k, None] ** 2 * v for k, (_, v) in enumerate(parts))
    norm = np.linalg.norm(mean, axis=1, keepdims=True)
    return mean / norm, variance / norm**2


def oracle(engine, query, texts):
    """Coefficients, mean and variance of the similarity of a query with every text, in float64."""
    priors, temperature = np.array([e.prior for e in engine.manifest.experts]), engine.manifest.temperature
    q, c = gaussians(engine, [query], "query"), gaussians(engine, texts, "document")
    if engine.manifest.layout == "sum":  # one zero, so that one text has one embedding
        zero = (zeros(engine, "query") + zeros(engine, "document")) / 2
        pi = shares(q, zero, priors, temperature)
        q = [bound(*fuse_sum(q, pi))]
        c = [bound(*fuse_sum(c, shares(c, zero, priors, temperature)))]
        factors = [1.0]
    else:
        pi = shares(q, zeros(engine, "query"), priors, temperature)
        q, c = [bound(*part) for part in q], [bound(*part) for part in c]
        factors = pi[0]
    mean = sum(p * (cm @ qm[0]) for p, (qm, _), (cm, _) in zip(factors, q, c, strict=True))
    variance = sum(
        p**2 * (cv @ qm[0] ** 2 + cm**2 @ qv[0] + cv @ qv[0])
        for p, (qm, qv), (cm, cv) in zip(factors, q, c, strict=True)
    )
    return pi[0], mean, np.minimum(variance, np.maximum(0, 1 - mean**2))


def bound(mean, variance):
    """Traces of unit vectors: 1 at most."""
    return mean, variance / np.maximum(1, variance.sum(1, keepdims=True))


CASES = {
    "two experts": (("static", "bert"), {}),
    "two experts, other order": (("bert", "static"), {}),
    "three experts": (("bert", "static", "other"), {"temperature": 0.3}),
    "one expert": (("bert",), {}),
    "diagonal": (("static", "bert"), {"structure": "diag", "temperature": 0.5}),
    "sum": (("static", "other"), {"layout": "sum", "temperature": 0.3}),
    "sum of one": (("bert",), {"layout": "sum"}),
}


def words_oracle(query, texts, k1=0.6, b=0.4):
    """Mean and variance of the similarity of words with every text, by a loop over words that have no stems."""
    documents, n = [text.split() for text in texts], len(texts)
    average = sum(map(len, documents)) / n
    mean, variance, words = np.zeros(n), np.zeros(n), set(query.split())
    df = {w: sum(w in d for d in documents) for w in words}
    idf = {w: math.log((n + 1) / (df[w] + 0.5)) for w in words}
    reachable = (k1 + 1) * sum(idf.values())
    for row, document in enumerate(documents):
        for w in words & set(document):
            tf = document.count(w)
            part = tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(document) / average))
            mean[row] += idf[w] * part / reachable
            variance[row] += (polygamma(1, df[w] + 0.5) - polygamma(1, n + 1)) * (part / reachable) ** 2
    return mean, variance


@pytest.mark.parametrize("share", [0, 0.6, 0.3])
@pytest.mark.parametrize("case", CASES)
def test_search_against_brute_force(make, case, share):
    labels, options = CASES[case]
    lexical = LexicalOptions(None, False, share=share) if share else False
    engine = make(*labels, **options, lexical=lexical)
    engine.add(TEXTS, ids=[str(i) for i in range(len(TEXTS))])
    for query in QUERIES[:4]:
        result = engine.search(query, k=len(TEXTS), candidates=len(TEXTS))
        pi, mean, variance = oracle(engine, query, TEXTS)
        if share:
            s, v = words_oracle(query, TEXTS)
            pi = [*(1 - share) * pi, share]
            mean, variance = (1 - share) * mean + share * s, (1 - share) ** 2 * variance + share**2 * v
            variance = np.minimum(variance, np.maximum(0, 1 - mean**2))
        np.testing.assert_allclose(list(result.coefficients.values()), pi, atol=1e-4)
        raw = mean / np.sqrt(1 + math.pi / 8 * variance)
        rows = [int(hit.id) for hit in result]
        assert sorted(rows) == list(range(len(TEXTS)))
        assert (np.diff(raw[rows]) < 1e-4).all()  # in the oracle's order, ties aside
        assert [h.text for h in result] == [TEXTS[i] for i in rows]
        np.testing.assert_allclose([h.raw_score for h in result], raw[rows], atol=1e-4)
        # a diagonal posterior's variances are kept in a basis, within a stated bound
        bound = {"rtol": 0.03} if case == "diagonal" else {"atol": 1e-4}
        np.testing.assert_allclose([h.deviation for h in result], np.sqrt(variance[rows]), **bound)


def test_experts_and_uncertainty_matter(make):
    """The oracle's ingredients are no bystanders: without them the answers differ."""
    engine = make("static", "bert", temperature=0.3, lexical=False)
    engine.add(TEXTS)
    spread = np.array([list(r.coefficients.values()) for r in engine.search_batch(QUERIES)])
    assert spread.std(axis=0).max() > 0.02
    hits = engine.search(QUERIES[0], k=100).hits
    assert max(h.deviation for h in hits) > 0.05
    assert max(abs(h.raw_score) * (math.sqrt(1 + math.pi / 8 * h.deviation**2) - 1) for h in hits) > 1e-3


@pytest.fixture(scope="module")
def engine(tmp_path_factory, loaded, fitted):
    engine = Engine.create(
        tmp_path_factory.mktemp("search") / "index",
        [loaded["static"], loaded["bert"]],
        Recipe(pairs(), {"static": fitted["static"], "bert": fitted["bert"]}, temperature=0.5),
    )
    engine.add(
        TEXTS,
        ids=[f"id{i}" for i in range(len(TEXTS))],
        metadatas=[{"n": i, "even": i % 2 == 0} for i in range(len(TEXTS))],
    )
    return engine


def test_the_order_of_experts_does_not_matter(make):
    one, two = make("static", "bert", folder="one"), make("bert", "static", folder="two")
    for made in (one, two):
        made.add(TEXTS)
    assert list(one.search(QUERIES[0]).coefficients) == ["static", "bert", "words"]
    assert list(two.search(QUERIES[0]).coefficients) == ["bert", "static", "words"]
    for a, b in zip(one.search_batch(QUERIES), two.search_batch(QUERIES), strict=True):
        assert a.coefficients == pytest.approx(b.coefficients, abs=1e-5)
        assert [h.raw_score for h in a] == pytest.approx([h.raw_score for h in b], abs=1e-5)
        assert {h.id for h in a.hits[:9]} <= {h.id for h in b}


def test_scores_are_in_range_and_fall(engine):
    for result in engine.search_batch(QUERIES, k=len(TEXTS)):
        raw = [h.raw_score for h in result]
        assert len(raw) == len(TEXTS)
        assert raw == sorted(raw, reverse=True)
        assert all(0 <= h.score <= 1 and h.deviation > 0 for h in result)
        assert [h.score for h in result] == pytest.approx([(1 + r) / 2 for r in raw])
        assert max(raw) - min(raw) > 0.3


def test_coefficients_sum_to_one(engine):
    for result in engine.search_batch(QUERIES):
        assert list(result.coefficients) == ["static", "bert", "words"]
        assert sum(result.coefficients.values()) == pytest.approx(1)
        assert all(type(c) is float and c > 0 for c in result.coefficients.values())


@pytest.mark.parametrize("k", [1, 7, len(TEXTS), len(TEXTS) + 1, 3000])
def test_k(engine, k):
    result = engine.search(QUERIES[0], k)
    everything = engine.search(QUERIES[0], len(TEXTS), candidates=len(TEXTS))
    assert [h.id for h in result] == [h.id for h in everything][:k]
    assert len(result) == min(k, len(TEXTS))


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one(engine, k):
    with pytest.raises(InvalidInputError, match=f"k must be at least 1, got {k}"):
        engine.search("cat", k)


def test_fewer_candidates_than_k(engine):
    with pytest.raises(InvalidInputError, match="candidates must be at least k = 5, got 4"):
        engine.search("cat", 5, candidates=4)
    assert len(engine.search("cat", 5, candidates=5)) == 5


@pytest.mark.parametrize("query", ["", " \n", None, 3, "a\0", "\ud800"], ids=ascii)
def test_bad_queries(engine, query):
    with pytest.raises(InvalidInputError, match="query 0 "):
        engine.search(query)
    with pytest.raises(InvalidInputError, match="query 1 "):
        engine.search_batch(["fine", query])


def test_a_string_is_no_batch_and_no_queries_give_no_results(engine):
    with pytest.raises(InvalidInputError, match="put it into a list"):
        engine.search_batch("cat")
    assert engine.search_batch([]) == []


def test_empty_index(make):
    result = make("static").search("cat")
    assert (result.hits, len(result), list(result)) == ([], 0, [])
    assert result.coefficients == pytest.approx({"static": 0.5, "words": 0.5})


def test_filters(engine):
    rows = {f"id{i}" for i in range(len(TEXTS)) if i % 2 == 0 and i >= 100}
    result = engine.search("cat", 200, where={"$and": [{"even": True}, {"n": {"$gte": 100}}]})
    assert {h.id for h in result} == rows
    assert all(h.metadata == {"n": int(h.id[2:]), "even": True} for h in result)
    assert len(engine.search("cat", where={"n": -1})) == 0
    assert answers(engine, ["cat"]) == [
        [(h.id, round(h.raw_score, 4), round(h.deviation, 4)) for h in engine.search("cat", where={})]
    ]
    with pytest.raises(InvalidInputError, match=r"filter \{'n': \{'\$near': 1\}\}"):
        engine.search("cat", where={"n": {"$near": 1}})


def test_a_batch_equals_one_by_one(engine):
    batch = engine.search_batch(QUERIES, 20)
    for query, together in zip(QUERIES, batch, strict=True):
        alone = engine.search(query, 20)
        assert together.query == query
        assert together.coefficients == pytest.approx(alone.coefficients, abs=1e-5)
        assert [h.raw_score for h in together] == pytest.approx([h.raw_score for h in alone], abs=1e-5)
        assert [h.id for h in together] == [h.id for h in alone]


def test_temperature(engine):
    default = engine.search("cat dog", temperature=engine.manifest.temperature)
    assert default == engine.search("cat dog")
    surest = engine.search("cat dog", temperature=0).coefficients
    assert sorted(surest.values()) == pytest.approx([0, 0.5, 0.5])
    uniform = engine.search("cat dog", temperature=math.inf).coefficients
    assert uniform == pytest.approx(
        {**{e.label: 0.5 * e.prior for e in engine.manifest.experts}, "words": 0.5}
    )
    del surest["words"]
    ordered = [engine.search("cat dog", temperature=t).coefficients for t in (0, 0.1, 0.5, 2, math.inf)]
    favourite = max(surest, key=surest.get)
    steps = [c[favourite] for c in ordered]
    assert steps == sorted(steps, reverse=True)
    assert steps[1] > steps[3]
    for bad in (-1, math.nan):
        with pytest.raises(InvalidInputError, match="temperature must be >= 0"):
            engine.search("cat", temperature=bad)


def test_temperature_is_fixed_in_the_sum_layout(make):
    engine = make("static", "other", layout="sum")
    engine.add(TEXTS[:5])
    with pytest.raises(InvalidInputError, match="fixes the temperature"):
        engine.search("cat", temperature=1.0)


def test_timings_are_told_and_do_not_make_results_differ(engine):
    start = time.perf_counter()
    result = engine.search("cat")
    whole = time.perf_counter() - start
    assert set(result.seconds) == {"encode", "query", "rescore"}
    assert min(result.seconds.values()) > 0
    assert sum(result.seconds.values()) <= whole
    assert result == engine.search("cat")


async def test_asearch_does_not_block_the_loop(engine, monkeypatch):
    loop_went_on = threading.Event()
    real = engine.experts[0].encode

    def waiting(*args, **options):
        assert loop_went_on.wait(10), "the event loop stood still"
        return real(*args, **options)

    monkeypatch.setattr(engine.experts[0], "encode", waiting)
    task = asyncio.create_task(engine.asearch("cat", 5, where={"even": True}))
    await asyncio.sleep(0.05)
    loop_went_on.set()
    assert await task == engine.search("cat", 5, where={"even": True})


async def test_aadd(make):
    engine = make("static")
    report = await engine.aadd(TEXTS[:3], ids=["a", "b", "c"])
    assert report.added == engine.count() == 3


def test_threads_get_what_one_gets(engine):
    queries = sentences(32, 3, 8)
    alone = [engine.search(q, 5) for q in queries]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(lambda: [engine.search(q, 5) for q in queries]) for _ in range(8)]
    for job in jobs:
        for got, expected in zip(job.result(), alone, strict=True):
            assert got.query == expected.query
            assert got.coefficients == pytest.approx(expected.coefficients, abs=1e-6)
            assert [h.id for h in got] == [h.id for h in expected]
            assert [h.raw_score for h in got] == pytest.approx([h.raw_score for h in expected], abs=1e-6)


def test_stable_order_of_equals(make):
    """Equal texts under different ids tie exactly, and keep one order."""
    engine = make("static", "bert")
    engine.add(["cat dog bird"] * 5 + TEXTS[:20], ids=[str(i) for i in range(25)])
    ranks = rankdata([-h.raw_score for h in engine.search("cat dog bird", 5)], method="min")
    assert ranks.tolist() == [1] * 5
    assert answers(engine, ["cat dog bird"]) == answers(engine, ["cat dog bird"])
