"""Rankers and re-rankers on collections small enough to see through."""

import numpy as np
import pytest

from tests.evaluation.fakes import Bags, EchoJudge, write_collection
from uec_retriever.errors import CorpusError, InvalidInputError
from uec_retriever.evaluation.answers import Answerer, answer_f1
from uec_retriever.evaluation.collection import load_collection
from uec_retriever.evaluation.rankers import (
    CrossEncoderScorer,
    LikelihoodScorer,
    Ranking,
    embed_corpus,
    judge_candidates,
    reorder,
    search,
)


@pytest.fixture
def collection(tmp_path):
    return load_collection(write_collection(tmp_path / "toy"), "test")


def ranked(collection, scope="corpus", **weights):
    model = Bags(**weights)
    return search(model, collection, embed_corpus(model, collection), scope)


def test_a_collection_is_read_with_groups_and_answers(collection):
    assert (collection.name, len(collection.ids)) == ("toy", 6)
    assert [q.answers for q in collection.queries] == [("red", "crimson"), ("two",), ()]
    assert collection.is_grouped
    assert collection.members == {"a": [0, 1, 2], "b": [3, 4, 5]}
    assert [q.id for q in collection.sample(2, 0).queries] == [q.id for q in collection.sample(2, 0).queries]
    assert len(collection.sample(2, 0).queries) == 2
    assert collection.sample(9, 0) is collection


@pytest.mark.parametrize(
    ("line", "message"),
    [("q9\tp0\t1", "query 'q9'"), ("q0\tp9\t1", "passage 'p9'"), ("q0\tp0\t0", "no relevant")],
)
def test_qrels_that_do_not_fit_are_refused(tmp_path, line, message):
    folder = write_collection(tmp_path / "toy")
    (folder / "qrels" / "odd.tsv").write_text(f"query-id\tcorpus-id\tscore\n{line}\n")
    with pytest.raises(CorpusError, match=message):
        load_collection(folder, "odd")


def test_search_is_exact_and_stays_in_its_group(collection):
    everywhere = ranked(collection)
    assert everywhere.ranked["q1"][:2] == [3, 0]
    assert len(everywhere.ranked["q1"]) == 6
    assert everywhere.scores["q1"][0] == pytest.approx(2 / np.sqrt(6))
    assert everywhere.ids(collection)["q0"][:2] == ["p0", "p1"]
    assert everywhere.milliseconds > 0
    inside = ranked(collection, "group")
    assert set(inside.ranked["q2"]) == {0, 1, 2}


def test_a_query_without_a_group_cannot_be_asked_inside_one(collection):
    from dataclasses import replace

    odd = replace(collection, queries=[replace(collection.queries[0], group="none")])
    assert not odd.is_grouped
    with pytest.raises(CorpusError, match="no passages of its group"):
        ranked(odd, "group")


class Longest:
    def score(self, question, passages):
        return [float(len(p)) for p in passages]


def test_only_the_first_candidates_change_places(collection):
    first = ranked(collection)
    done = []
    again = reorder(first, judge_candidates(Longest(), collection, first, 2, done.append))
    assert again.ranked["q0"] == [1, 0, *first.ranked["q0"][2:]]
    assert again.scores["q0"] == sorted(again.scores["q0"], reverse=True)
    assert again.milliseconds >= first.milliseconds
    assert done == [1, 1, 1]


def test_a_blend_weighs_both_stages_alike(collection):
    first = Ranking(
        {q.id: [0, 1, 2] for q in collection.queries},
        {q.id: [3.0, 1.0, 2.0] for q in collection.queries},
        1.0,
    )

    class Opinion:
        def score(self, question, passages):
            return [0.0, 100.0, 90.0]

    judged = judge_candidates(Opinion(), collection, first, 3)
    assert reorder(first, judged, blend=True).ranked["q0"] == [2, 0, 1]
    assert reorder(first, judged).ranked["q0"] == [1, 2, 0]


def test_query_likelihood_is_per_token_and_reads_the_passage(collection):
    judge = EchoJudge()
    scores = LikelihoodScorer(judge).score("red cat", ["red cat", "red dog", "blue bird"])
    assert scores == [-1.0, -1.5, -2.0]
    words = [judge.tokenizer.words[t] for t in judge.seen[0].prompt]
    assert words[:4] == ["<s>", "Passage:", "red", "cat"]
    assert words[-1] == "Question:"


def test_long_passages_are_cut_and_long_questions_refused():
    judge = EchoJudge(context=20)
    LikelihoodScorer(judge).score("red", ["one two three four " * 10])
    assert len(judge.seen[0].prompt) + len(judge.seen[0].answer) == 20
    with pytest.raises(InvalidInputError, match="no room for a passage in 20 tokens"):
        LikelihoodScorer(judge).score("red " * 19, ["one"])


def test_a_cross_encoder_needs_one_output():
    class Cross:
        def __init__(self, width):
            self.width = width

        def predict(self, pairs, **_):
            values = np.arange(len(pairs), dtype=np.float32)
            return values if self.width == 1 else np.stack([values] * self.width, 1)

    assert CrossEncoderScorer(Cross(1)).score("q", ["a", "b"]) == [0.0, 1.0]
    with pytest.raises(InvalidInputError, match="3 scores"):
        CrossEncoderScorer(Cross(3)).score("q", ["a", "b"])


def test_answers_come_from_the_first_passage_and_are_asked_once(collection):
    judge = EchoJudge()
    answerer = Answerer(judge)
    first = ranked(collection)
    values = answer_f1(answerer, collection, first.ranked)
    assert values.tolist() == [1.0, 0.0]  # "red" is right, "green" is not "two"; q2 has no answer
    asked = judge.generated
    answer_f1(answerer, collection, first.ranked)
    assert judge.generated == asked == 2


def test_answers_without_answers(collection):
    only = collection.sample(3, 0)
    from dataclasses import replace

    with pytest.raises(InvalidInputError, match="--answers 0"):
        answer_f1(Answerer(EchoJudge()), replace(only, queries=[only.queries[2]]), {})
    with pytest.raises(InvalidInputError, match="at least one"):
        Answerer(EchoJudge(), 0)
