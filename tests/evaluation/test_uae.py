"""The UAE table on collections small enough to see through: search, re-rankers, answers, and the whole."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.fakes import Bags, EchoJudge, write_collection
from uec_retriever.errors import CorpusError, InvalidInputError
from uec_retriever.evaluation.collection import load_collection
from uec_retriever.evaluation.exact import Ranking
from uec_retriever.evaluation.provenance import provenance
from uec_retriever.evaluation.rerankers import Answerer, CrossEncoderReranker, LikelihoodReranker
from uec_retriever.evaluation.uae import System, UaeOptions, answer_f1, embed_corpus, rerank, run_uae, search


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


def ranked_positions(system, collection):
    return dict(zip([q.id for q in collection.queries], system.ranking.positions(), strict=True))


def test_search_is_exact_and_stays_in_its_group(collection):
    everywhere = ranked(collection)
    assert ranked_positions(everywhere, collection)["q1"][:2] == [3, 0]
    assert len(ranked_positions(everywhere, collection)["q1"]) == 6
    assert everywhere.ranking.scores[1, 0] == pytest.approx(2 / np.sqrt(6))
    assert everywhere.ranking.ids(collection)["q0"][:2] == ["p0", "p1"]
    assert set(ranked_positions(ranked(collection, "group"), collection)["q2"]) == {0, 1, 2}


def test_excluded_passages_are_not_found(collection):
    barred = [replace(q, excluded=frozenset({"p3"})) for q in collection.queries]
    found = ranked(replace(collection, queries=barred))
    assert all(3 not in positions for positions in found.ranking.positions())


def test_a_query_without_a_group_cannot_be_asked_inside_one(collection):
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
    again, _ = rerank(Longest(), collection, first, 2, done.append)
    before = first.ranking.positions()[0]
    assert again.ranking.positions()[0] == [1, 0, *before[2:]]
    assert (np.diff(again.ranking.scores, axis=1) <= 0).all()
    assert again.milliseconds > first.milliseconds
    assert done == [1, 1, 1]


def test_a_blend_weighs_both_stages_alike(collection):
    documents, scores = np.array([[0, 1, 2]] * 3), np.array([[3.0, 1.0, 2.0]] * 3)

    class Opinion:
        def score(self, question, passages):
            return [0.0, 100.0, 90.0]

    first = System(Ranking(documents, scores), 1.0)
    alone, blend = rerank(Opinion(), collection, first, 3, lambda _: None)
    assert blend.ranking.positions()[0] == [2, 0, 1]
    assert alone.ranking.positions()[0] == [1, 2, 0]


def test_query_likelihood_is_per_token_and_reads_the_passage(collection):
    judge = EchoJudge()
    scores = LikelihoodReranker(judge).score("red cat", ["red cat", "red dog", "blue bird"])
    assert scores == [-1.0, -1.5, -2.0]
    words = [judge.tokenizer.words[t] for t in judge.seen[0].prompt]
    assert words[:4] == ["<s>", "Passage:", "red", "cat"]
    assert words[-1] == "Question:"


def test_long_passages_are_cut_and_long_questions_refused():
    judge = EchoJudge(context=20)
    LikelihoodReranker(judge).score("red", ["one two three four " * 10])
    assert len(judge.seen[0].prompt) + len(judge.seen[0].answer) == 20
    with pytest.raises(InvalidInputError, match="no room for a passage in 20 tokens"):
        LikelihoodReranker(judge).score("red " * 19, ["one"])


def test_a_cross_encoder_needs_one_output():
    class Cross:
        def __init__(self, width):
            self.width = width

        def predict(self, pairs, **_):
            values = np.arange(len(pairs), dtype=np.float32)
            return values if self.width == 1 else np.stack([values] * self.width, 1)

    assert CrossEncoderReranker(Cross(1)).score("q", ["a", "b"]) == [0.0, 1.0]
    with pytest.raises(InvalidInputError, match="3 scores"):
        CrossEncoderReranker(Cross(3)).score("q", ["a", "b"])


def test_answers_come_from_the_first_passage_and_are_asked_once(collection):
    judge = EchoJudge()
    answerer = Answerer(judge)
    found = ranked(collection).ranking
    done = []
    values = answer_f1(answerer, collection, found, done.append)
    assert values.tolist() == [1.0, 0.0]  # "red" is right, "green" is not "two"; q2 has no answer
    assert done == [1, 1]
    assert judge.generated == 2
    answer_f1(answerer, collection, found, done.append)
    assert judge.generated == 2


def test_answers_without_answers(collection):
    silent = replace(collection, queries=[collection.queries[2]])
    nothing = Ranking(np.zeros((1, 1), int), np.zeros((1, 1)))
    with pytest.raises(InvalidInputError, match="--answers 0"):
        answer_f1(Answerer(EchoJudge()), silent, nothing, lambda _: None)
    with pytest.raises(InvalidInputError, match="at least one"):
        Answerer(EchoJudge(), 0)


@pytest.fixture
def systems():
    """One that sees animals only, and one that sees colours."""
    return {"base": Bags(red=0.01, green=0.01, blue=0.01), "uae": Bags()}


def test_every_system_stands_in_every_scope(collection, systems):
    judge = EchoJudge()
    told = []
    result = run_uae(
        collection,
        systems,
        UaeOptions(rerank_depth=3, answers=3, compose="uae"),
        rerankers={"LLM": LikelihoodReranker(judge)},
        answerer=Answerer(judge),
        progress=lambda *seen: told.append(seen),
    )
    assert list(result["scopes"]) == ["corpus", "group"]
    rows = result["scopes"]["group"]
    assert list(rows) == ["base", "uae", "base + LLM", "uae + LLM", "uae + LLM, blended"]
    for row in rows.values():
        for metric in ("Recall@1", "MAP", "nDCG@10", "Token F1"):
            cell = row[metric]
            assert 0 <= cell["low"] <= cell["mean"] <= cell["high"] <= 1
        assert row["Token F1"]["n"] == 2
    assert rows["base"]["MAP"]["difference"] == {"mean": 0, "low": 0, "high": 0}
    assert rows["uae + LLM"]["milliseconds"] > rows["uae"]["milliseconds"]
    assert ("uae + LLM (group)", 3, 3) in told
    json.dumps(result, allow_nan=False)


def test_relative_and_paired_differences(collection, systems):
    rows = run_uae(collection, systems, UaeOptions(scopes=("corpus",)))["scopes"]["corpus"]
    base, ours = rows["base"]["MAP"], rows["uae"]["MAP"]
    assert ours["relative"] == pytest.approx(ours["mean"] / base["mean"] - 1)
    assert ours["difference"]["mean"] == pytest.approx(ours["mean"] - base["mean"])
    assert "Token F1" not in rows["uae"]


def test_without_groups_there_is_the_corpus_only(collection, systems):
    plain = replace(collection, groups=[None] * 6)
    assert list(run_uae(plain, systems)["scopes"]) == ["corpus"]
    with pytest.raises(CorpusError, match="group"):
        run_uae(plain, systems, UaeOptions(scopes=("group",)))


def test_options_that_do_not_fit(collection, systems):
    with pytest.raises(InvalidInputError, match="at least one model"):
        run_uae(collection, {})
    with pytest.raises(InvalidInputError, match="'other'"):
        run_uae(collection, systems, UaeOptions(compose="other"))
    with pytest.raises(InvalidInputError, match="rerank_depth"):
        UaeOptions(rerank_depth=1)
    with pytest.raises(InvalidInputError, match="scopes are"):
        UaeOptions(scopes=("paper",))


def test_provenance_names_command_commit_versions_and_seed():
    found = provenance(3)
    assert {"command", "commit", "versions", "cpus", "seed"} == set(found)
    assert found["seed"] == 3
    assert "torch" in found["versions"]
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
    assert (found["commit"] or "").removesuffix("-dirty") == head
