"""The frameworks' hybrids, held against rank_bm25, bm25s and LlamaIndex themselves."""

import numpy as np
import pytest

from benchmarks.framework_hybrids import MODES, fuse_by_mode, lucene_scores, map_range, okapi_scores
from tests.evaluation.retrieval_small import random_collection, random_encoded, rank_all

WORDS = "Flows flow heat, Heat wing the layers layer pressure pressures of shock".split()


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(0)
    found = (" ".join(generator.choice(WORDS, generator.integers(3, 12))) for _ in range(30))
    return [f"the {text}" if i % 4 else text for i, text in enumerate(found)]


QUERIES = ["the flow of heat, heat,", "wing wing unknown", "shock", "nothing", ""]


def test_okapi_equals_rank_bm25(texts):
    library = pytest.importorskip("rank_bm25")
    index = library.BM25Okapi([t.split() for t in texts])
    expected = [index.get_scores(q.split()) for q in QUERIES]
    np.testing.assert_allclose(okapi_scores(texts, QUERIES), expected, rtol=1e-10, atol=1e-12)
    assert index.idf["the"] == pytest.approx(0.25 * index.average_idf)  # most passages have it


def test_lucene_equals_what_bm25s_retrieves(texts):
    library = pytest.importorskip("bm25s")
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    index = library.BM25()
    index.index(
        library.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False
    )
    found = lucene_scores(texts, QUERIES)
    for row, query in enumerate(QUERIES[:3]):
        tokens = library.tokenize(query, stemmer=stemmer, show_progress=False)
        documents, scores = index.retrieve(tokens, k=30, show_progress=False)
        np.testing.assert_allclose(found[row][documents[0]], scores[0], rtol=1e-6)
    np.testing.assert_array_equal(found[3:], 0)


@pytest.fixture(scope="module")
def rankings():
    encoded = random_encoded()
    found = rank_all({"a": encoded.cosine_of(0), "b": encoded.cosine_of(1)}, random_collection(), depth=9)
    return list(found.values())


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_equals_llama_indexs_own(rankings, mode):
    pytest.importorskip("llama_index.core.retrievers")
    from benchmarks.framework_fusion import llama_index_fusion

    found = fuse_by_mode(rankings, mode)
    theirs = llama_index_fusion([r.documents for r in rankings], [r.scores for r in rankings], mode)
    for row, (documents, scores) in enumerate(theirs):
        held = found.documents[row] >= 0
        mine = dict(zip(found.documents[row][held].tolist(), found.scores[row][held].tolist(), strict=True))
        assert mine == pytest.approx(dict(zip(documents, scores, strict=True)))
        np.testing.assert_allclose(found.scores[row][held], scores, rtol=1e-9)


def test_ranges_of_one_ranking_by_hand():
    scores = np.array([4.0, 2.0, 0.0])
    np.testing.assert_allclose(map_range(scores, False), [1, 0.5, 0])
    spread = 3 * np.sqrt(8 / 3)
    np.testing.assert_allclose(map_range(scores, True), (scores - 2 + spread) / (2 * spread))
    assert map_range(np.array([3.0, 3.0]), False).tolist() == [1, 1]
    assert map_range(np.zeros(2), False).tolist() == [0, 0]
    assert map_range(np.empty(0), True).tolist() == []


def by_rank(documents, scores):
    """Scores in the order of the documents: what ranks of equal scores leave open does not count."""
    return [round(float(scores[d]), 5) for d in documents]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_okapi_equals_langchains_retriever(texts):
    retrievers = pytest.importorskip("langchain_community.retrievers")
    documents = {"metadatas": [{"number": i} for i in range(30)], "k": 10}
    theirs = retrievers.BM25Retriever.from_texts(texts, **documents)
    scores = okapi_scores(texts, QUERIES[:3])
    for row, query in enumerate(QUERIES[:3]):
        found = [document.metadata["number"] for document in theirs.invoke(query)]
        assert by_rank(found, scores[row]) == by_rank(np.argsort(-scores[row])[:10], scores[row])


def test_lucene_equals_llama_indexs_retriever(texts):
    retrievers = pytest.importorskip("llama_index.retrievers.bm25")
    from llama_index.core.schema import TextNode

    nodes = [TextNode(id_=str(i), text=text) for i, text in enumerate(texts)]
    theirs = retrievers.BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=10)
    scores = lucene_scores(texts, QUERIES[:3])
    for row, query in enumerate(QUERIES[:3]):
        found = theirs.retrieve(query)
        np.testing.assert_allclose([n.score for n in found], -np.sort(-scores[row])[:10], rtol=1e-5)
        documents = [int(n.node.node_id) for n in found]
        assert by_rank(documents, scores[row]) == by_rank(np.argsort(-scores[row])[:10], scores[row])
