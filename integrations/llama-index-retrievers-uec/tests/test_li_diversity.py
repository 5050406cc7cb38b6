"""Nodes of the retriever that differ from each other."""

import pytest
from llama_index.core.schema import TextNode

from tests.engine.small import sentences
from uec_retriever.errors import InvalidInputError

TEXTS = list(dict.fromkeys(sentences(40, seed=3, words=14)))
QUERY = sentences(1, seed=9)[0]


@pytest.fixture
def made(retriever):
    return retriever(
        [TextNode(id_=f"node {i}", text=text) for i, text in enumerate(TEXTS)], similarity_top_k=5
    )


def ids(retriever):
    return [n.node_id for n in retriever.retrieve(QUERY)]


def test_the_best_match_alone_is_no_diversity(made):
    assert ids(made.with_options(mmr_threshold=1.0)) == ids(made)


def test_each_is_the_best_of_match_and_difference(made):
    """As a naive choice finds it."""
    weight, pool = 0.3, made.engine.search(QUERY, 30)
    vectors = {i: v / (v @ v) ** 0.5 for i, v in made.engine.vectors_by_id([h.id for h in pool]).items()}
    raw = {h.id: h.raw_score for h in pool}
    chosen = [pool.hits[0].id]
    while len(chosen) < 5:
        left = [i for i in raw if i not in chosen]
        nearest = {i: max(float(vectors[i] @ vectors[j]) for j in chosen) for i in left}
        chosen.append(max(left, key=lambda i: weight * raw[i] - (1 - weight) * nearest[i]))
    assert ids(made.with_options(mmr_threshold=weight)) == chosen != ids(made)


async def test_asynchronously_the_same(made):
    diverse = made.with_options(mmr_threshold=0.3)
    assert [n.node_id for n in await diverse.aretrieve(QUERY)] == ids(diverse)


def test_it_chooses_among_the_candidates(made):
    of_five = made.with_options(candidates=5)
    assert set(ids(of_five.with_options(mmr_threshold=0.0))) == set(ids(of_five))


def test_it_goes_with_a_cutoff_and_a_sentence(made):
    assert ids(made.with_options(mmr_threshold=0.3, similarity_cutoff=1.0)) == []
    [told] = made.with_options(mmr_threshold=0.3, similarity_cutoff=1.0, no_evidence="nothing").retrieve(
        QUERY
    )
    assert told.text == "nothing"
    best = made.retrieve(QUERY)
    kept = made.with_options(mmr_threshold=0.3, similarity_cutoff=best[2].score, include=["score"]).retrieve(
        QUERY
    )
    assert {n.node_id for n in kept} == {n.node_id for n in best[:3]}


@pytest.mark.parametrize("options", [{"mmr_threshold": -0.1}, {"mmr_threshold": "x"}])
def test_another_threshold_is_refused(made, options):
    with pytest.raises(InvalidInputError, match="mmr_threshold"):
        made.with_options(**options)


def test_fewer_candidates_than_nodes_are_refused(made):
    with pytest.raises(InvalidInputError, match="candidates must be at least k = 5, got 4"):
        made.with_options(mmr_threshold=0.5, candidates=4)
    assert len(ids(made.with_options(mmr_threshold=0.5, similarity_top_k=35))) == 35


def test_coverage_counts_by_rank(made):
    with pytest.raises(InvalidInputError, match="mmr_threshold would leave out hits that coverage needs"):
        made.with_options(mmr_threshold=0.0, coverage=0.9)
