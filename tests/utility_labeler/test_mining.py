from collections import Counter

import pytest

from uec_retriever.data.records import Record
from uec_retriever.errors import InvalidInputError
from uec_retriever.utility_labeler.mining import BM25, IndexNeighbours, Mining, Passages, given_pairs, mine
from uec_retriever.utility_labeler.questions import Candidate, Question

TOPICS = ["wing flow", "heat layer", "cat dog", "red green"]


@pytest.fixture(scope="module")
def passages():
    """Forty: ten of each topic, in groups of twenty."""
    return Passages(
        Record(f"d{i}", f"{TOPICS[i % 4]} number{i}", {"group": f"g{i // 20}"}) for i in range(40)
    )


@pytest.fixture(scope="module")
def bm25(passages):
    return BM25(passages)


def question(i=0, text="the wing", **options):
    return Question(f"q{i}", text, ("x",), **options)


def sources(pairs):
    return Counter(p.candidate.source for p in pairs)


def test_gold_neighbours_and_random_ones(passages, bm25):
    asked = question(relevance={"d2": 1, "d3": 0, "lost": 1})
    found = list(mine([asked], passages, bm25, Mining(8, 0.25)))
    assert sources(found) == {"gold": 1, "bm25": 5, "random": 2}
    assert len({p.key for p in found}) == 8
    assert all("wing" in p.candidate.text for p in found if p.candidate.source == "bm25")
    assert {p.candidate.passage_id: p.candidate.relevance for p in found}["d2"] == 1
    assert all(p.candidate.relevance == 0 for p in found if p.candidate.source != "gold")


def test_without_qrels_relevance_is_unknown(passages, bm25):
    assert {p.candidate.relevance for p in mine([question()], passages, bm25, Mining(4))} == {None}


def test_all_gold_passages_stay_even_beyond_the_number(passages, bm25):
    asked = question(relevance={f"d{i}": 1 for i in range(6)})
    assert sources(mine([asked], passages, bm25, Mining(4))) == {"gold": 6}


def test_no_word_in_common_leaves_room_for_random_ones(passages, bm25):
    assert sources(mine([question(text="zebra")], passages, bm25, Mining(5, 0.2))) == {"random": 5}
    assert sources(mine([question(text="the")], passages, bm25, Mining(5, 0))) == {"random": 5}


def test_random_choice_depends_on_seed_and_question_only(passages, bm25):
    def chosen(questions, seed=0):
        return {
            p.key for p in mine(questions, passages, bm25, Mining(6, 1.0, seed=seed)) if p.question.id == "q1"
        }

    alone = chosen([question(1)])
    assert chosen([question(0), question(1), question(2)]) == alone != chosen([question(1)], seed=1)


def test_within_the_group(passages, bm25):
    inside = list(mine([question(group="g1")], passages, bm25, Mining(30, 0.5, within_group=True)))
    assert len(inside) == 20  # all there are
    assert all(int(p.candidate.passage_id[1:]) >= 20 for p in inside)
    for group in (None, "g9"):
        with pytest.raises(InvalidInputError, match="no passages of its group"):
            list(mine([question(group=group)], passages, bm25, Mining(within_group=True)))


def test_more_of_the_own_group(passages, bm25):
    plain = list(mine([question(group="g1")], passages, bm25, Mining(4, 0.5)))
    more = list(mine([question(group="g1")], passages, bm25, Mining(4, 0.5, group_candidates=3)))
    assert [p.key for p in more[:4]] == [p.key for p in plain]  # a file of the plain run can be gone on with
    added = more[4:]
    assert [p.candidate.source for p in added] == ["bm25"] * 3
    assert all(int(p.candidate.passage_id[1:]) >= 20 for p in added)
    assert len({p.key for p in more}) == 7
    with pytest.raises(InvalidInputError, match="no passages of its group"):
        list(mine([question()], passages, bm25, Mining(4, group_candidates=1)))


def test_given_candidates_are_kept(passages, bm25):
    asked = question(candidates=(Candidate("mine", "my text"),))
    assert [p.key for p in mine([asked], passages, bm25, Mining(8))] == [("q0", "mine")]
    with pytest.raises(InvalidInputError, match="no 'candidates'"):
        list(given_pairs([question()]))


@pytest.mark.parametrize(
    "options",
    [
        {"candidates": 0},
        {"random_share": 1.5},
        {"random_share": -0.1},
        {"group_candidates": -1},
        {"group_candidates": 1, "within_group": True},
    ],
)
def test_bad_numbers(options):
    with pytest.raises(InvalidInputError):
        Mining(**options)


def test_bad_corpora():
    with pytest.raises(InvalidInputError, match="empty"):
        Passages([])
    with pytest.raises(InvalidInputError, match="twice"):
        Passages([Record("a", "x", {}), Record("a", "y", {})])


class FakeEngine:
    """Notes what it is asked; finds the first passages, and one that is not in the corpus."""

    def __init__(self):
        self.asked = []

    def search_batch(self, queries, k, *, where):
        self.asked.append((list(queries), k, where))
        ids = ["elsewhere", *(f"d{i + (20 if where else 0)}" for i in range(k - 1))]
        return [[type("Hit", (), {"id": i}) for i in ids] for _ in queries]


def test_neighbours_by_an_index(passages):
    engine = FakeEngine()
    ranker = IndexNeighbours(engine, passages)
    found = list(mine([question(0), question(1)], passages, ranker, Mining(4, 0.25)))
    assert sources(found) == {"index": 6, "random": 2}
    assert engine.asked == [(["the wing", "the wing"], 4, None)]
    grouped = [question(0, group="g1"), question(1, group="g0"), question(2, group="g1")]
    list(mine(grouped, passages, ranker, Mining(4, 0, within_group=True)))
    assert [where for _, _, where in engine.asked[1:]] == [{"group": "g1"}, {"group": "g0"}]
