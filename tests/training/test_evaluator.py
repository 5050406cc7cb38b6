"""Graded nDCG against its definition."""

import math

import numpy as np
import pytest

from uec_retriever.errors import InvalidInputError
from uec_retriever.training import GradedPassage, GradedQuestion
from uec_retriever.training.evaluator import GradedNDCGEvaluator, gains


class Fake:
    """Embeds a text as the vector that it names."""

    def encode(self, texts, **_):
        return np.array([[float(x) for x in t.split(",")] for t in texts])

    encode_query = encode_document = encode


def question(*candidates, text="1,0", name="q"):
    made = tuple(GradedPassage(i, t, u, r) for i, t, u, r in candidates)
    return GradedQuestion(name, text, made)


def dcg(values):
    return sum(v / math.log2(i + 2) for i, v in enumerate(values))


def test_ndcg_of_a_list_and_of_a_pool():
    # cosines to 1,0: p1 .6, p2 1, p3 0; the distractor .8
    one = question(("p1", "3,4", 1.0, None), ("p2", "2,0", 0.5, None), ("p3", "0,1", -2.0, None))
    metrics = GradedNDCGEvaluator([one], [("d", "4,3"), ("p1", "3,4")]).measure(Fake())
    best = dcg([1.0, 0.5])
    assert metrics["list_ndcg@10"] == pytest.approx(dcg([0.5, 1.0]) / best)
    assert metrics["pool_ndcg@10"] == pytest.approx(dcg([0.5, 0, 1.0]) / best)
    assert metrics["ndcg@10"] == pytest.approx((metrics["list_ndcg@10"] + metrics["pool_ndcg@10"]) / 2)


def test_relevances_come_before_utilities():
    known = question(("a", "1,0", 0.9, 0), ("b", "0,1", 0.1, 2), ("c", "0,1", 0.1, None))
    assert gains(known).tolist() == [0, 2, 0]
    without_relevant = question(("a", "1,0", 0.9, 0), ("b", "0,1", -0.1, 0))
    assert gains(without_relevant).tolist() == [0.9, 0]


def test_what_says_nothing_is_left_out():
    nothing = question(("a", "1,0", -1.0, None), name="none")
    single = question(("b", "1,0", 1.0, None), name="single")
    evaluator = GradedNDCGEvaluator([nothing, single], [("d", "0,1")])
    assert [q.id for q in evaluator.questions] == ["single"]
    assert evaluator.measure(Fake()) == {"ndcg@10": 1.0, "pool_ndcg@10": 1.0}
    with pytest.raises(InvalidInputError, match="no held-out question"):
        GradedNDCGEvaluator([nothing])


def test_the_pool_is_bounded_and_the_same_in_every_order():
    one = question(("p", "1,0", 1.0, None))
    others = [(f"d{i}", f"{i},1") for i in range(30)]
    first = GradedNDCGEvaluator([one], others, pool_size=10)
    assert first.get_config_dict() == {"questions": 1, "pool": 10}
    again = GradedNDCGEvaluator([one], others[::-1], pool_size=10)
    assert first.measure(Fake()) == again.measure(Fake())
