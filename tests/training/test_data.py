"""Labels and qrels become questions; candidates are chosen; nothing leaks into the held-out part."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtools.tiny import tiny_model
from tests.training.made_up import label_line, make_questions
from uec_retriever.errors import CorpusError, InvalidInputError
from uec_retriever.training import GradedPassage, GradedQuestion, questions_from_labels, questions_from_qrels
from uec_retriever.training.data import calibration_pairs, select_candidates, split_heldout, useful
from uec_retriever.training.dataset import choose_candidates, column_prompts, make_dataset
from uec_retriever.training.options import TrainingOptions
from uec_retriever.utility_labeler.labels import read_labels


def read(tmp_path, *lines):
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return questions_from_labels(read_labels(path))


def test_labels_are_grouped_by_question_best_first(tmp_path):
    [one, two] = read(
        tmp_path,
        label_line("q1", "p1", 0.1, group="g", relevance=0),
        label_line("q2", "p1", 0.3),
        label_line("q1", "p2", 0.9, group="g", relevance=1),
    )
    assert one == GradedQuestion(
        "q1",
        "what is q1",
        (GradedPassage("p2", "text of p2", 0.9, 1), GradedPassage("p1", "text of p1", 0.1, 0)),
        "g",
    )
    assert [c.utility for c in two.candidates] == [0.3]


def test_one_id_with_two_texts_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="'q1' two texts"):
        read(tmp_path, label_line("q1", "p1"), label_line("q1", "p2", question="another"))
    with pytest.raises(InvalidInputError, match="uec label"):
        read(tmp_path)


def beir(tmp_path, qrels="q1\tp1\t1\nq1\tp2\t2\nq2\tp2\t0\n", header="query-id\tcorpus-id\tscore\n"):
    corpus = [
        {"_id": p, "title": "A", "text": f"text of {p}", "metadata": {"group": "g"}} for p in ("p1", "p2")
    ]
    queries = [{"_id": q, "text": f"what is {q}"} for q in ("q1", "q2")]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "qrels").mkdir(exist_ok=True)
    (tmp_path / "qrels" / "train.tsv").write_text(header + qrels)
    return tmp_path


def test_qrels_grades_are_utilities(tmp_path):
    [question] = questions_from_qrels(beir(tmp_path))
    assert question == GradedQuestion(
        "q1",
        "what is q1",
        (GradedPassage("p2", "A text of p2", 2.0, 2), GradedPassage("p1", "A text of p1", 1.0, 1)),
        "g",
    )


def test_fractional_grades_without_a_header_train_too(tmp_path):
    [question] = questions_from_qrels(beir(tmp_path, "q1\tp1\t0.5\nq1\tp2\t0\n", header=""))
    assert question.candidates == (GradedPassage("p1", "A text of p1", 0.5, 0.5),)


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q9\tp1\t1\n", "the query 'q9'"),
        ("q1\tp9\t1\n", "the passage 'p9'"),
        ("q1\tp1\t1\nq1\tp2\thigh\n", "line 3"),
    ],
)
def test_qrels_that_do_not_fit_are_refused(tmp_path, qrels, message):
    with pytest.raises(CorpusError, match=message):
        questions_from_qrels(beir(tmp_path, qrels))


def test_a_split_that_is_not_there(tmp_path):
    with pytest.raises(CorpusError, match="no split 'dev'"):
        questions_from_qrels(beir(tmp_path), "dev")


def test_the_better_half_and_the_hardest_stay():
    question = make_questions(1, candidates=6)[0]
    ids = [c.id for c in question.candidates]
    similar = dict(zip(ids, [0.1, 0.2, 0.3, 0.9, 0.4, 0.8], strict=True))
    assert [c.id for c in select_candidates(question, 4, similar).candidates] == [
        ids[i] for i in (0, 1, 3, 5)
    ]
    assert [c.id for c in select_candidates(question, 4).candidates] == ids[:4]
    assert select_candidates(question, 1, similar).candidates == question.candidates[:1]
    assert select_candidates(question, 6, similar) is question
    with pytest.raises(InvalidInputError, match="limit"):
        select_candidates(question, 0)


def test_the_student_finds_the_hard_ones(tmp_path):
    model = tiny_model(tmp_path / "m")
    questions = [*make_questions(3, candidates=6), *make_questions(1, candidates=2)]
    chosen = choose_candidates(model, questions[:3], TrainingOptions(candidates=4))
    for before, after in zip(questions, chosen, strict=False):
        rest = before.candidates[2:]
        similarities = model.similarity(
            model.encode_query(before.text), model.encode_document([c.text for c in rest])
        )[0]
        hardest = {rest[i].id for i in similarities.topk(2).indices.tolist()}
        assert {c.id for c in after.candidates} == {c.id for c in before.candidates[:2]} | hardest


@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=12),
    share=st.floats(0.01, 0.6),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_no_group_and_no_text_is_on_both_sides(sizes, share, seed):
    questions = [
        GradedQuestion(
            f"{g}-{i}", f"What is {i % 2 if g > 1 else i} of  {g}?", (GradedPassage("p", "t", 1.0),), f"g{g}"
        )
        for g, size in enumerate(sizes)
        for i in range(size)
    ]
    training, held = split_heldout(questions, share, seed)
    assert held and training
    assert sorted(q.id for q in training + held) == sorted(q.id for q in questions)
    assert {q.group for q in training}.isdisjoint(q.group for q in held)
    assert {q.text for q in training}.isdisjoint(q.text for q in held)
    assert len(held) <= max(share * len(questions), max(sizes))
    assert (training, held) == split_heldout(questions, share, seed)


def test_texts_that_differ_in_case_and_space_are_one():
    texts = ["What is a wing?", "what  is a WING?", "why", "how"]
    questions = [GradedQuestion(str(i), t, (GradedPassage("p", "t", 1.0),)) for i, t in enumerate(texts)]
    for seed in range(20):
        training, _ = split_heldout(questions, 0.5, seed)
        assert ("0" in {q.id for q in training}) == ("1" in {q.id for q in training})


def test_splits_that_cannot_be_made():
    questions = [GradedQuestion(str(i), f"q{i}", (GradedPassage("p", "t", 1.0),), "one") for i in range(3)]
    with pytest.raises(InvalidInputError, match="one group"):
        split_heldout(questions, 0.2, 0)
    assert split_heldout(questions, 0.0, 0) == (questions, [])
    with pytest.raises(InvalidInputError, match="share"):
        split_heldout(questions, 1.0, 0)


def test_questions_that_nothing_helps_can_be_left_out():
    questions = [GradedQuestion(str(u), "q", (GradedPassage("p", "t", u),)) for u in (-0.5, 0.1, 0.9)]
    assert useful(questions, None) == questions
    assert [q.id for q in useful(questions, 0.1)] == ["0.1", "0.9"]


def test_rows_are_padded_with_nan():
    questions = [make_questions(1, candidates=1)[0], make_questions(2, candidates=3)[1]]
    dataset = make_dataset(questions)
    assert dataset.column_names == ["query", "passage_1", "passage_2", "passage_3", "label"]
    np.testing.assert_allclose(dataset["label"], [[1, np.nan, np.nan], [1, 0.6, 0.2]], rtol=1e-6)
    assert dataset[0]["passage_3"] == dataset[0]["passage_1"]
    np.testing.assert_array_equal(
        make_dataset(questions, one_hot=True)["label"], [[0, np.nan, np.nan], [0, -np.inf, -np.inf]]
    )


def test_prompts_are_those_of_query_and_document(tmp_path):
    model = tiny_model(tmp_path / "m", prompts={"query": "what ", "document": "the "})
    columns = ["query", "passage_1", "passage_2"]
    assert column_prompts(model, columns) == {"query": "what ", "passage_1": "the ", "passage_2": "the "}
    model.prompts = {"query": "", "document": ""}
    assert column_prompts(model, columns) == {}
    model.prompts, model.default_prompt_name = {"both": "a "}, "both"
    assert set(column_prompts(model, columns).values()) == {"a "}


def test_calibration_pairs_are_questions_with_what_helps_them():
    questions = [
        GradedQuestion("a", "qa", (GradedPassage("1", "one", 0.9, 0), GradedPassage("2", "two", 0.1, 1))),
        GradedQuestion("b", "qb", (GradedPassage("3", "three", 0.9), GradedPassage("4", "four", -0.1))),
        GradedQuestion("c", "qc", (GradedPassage("5", "five", -0.9),)),
    ]
    with pytest.raises(InvalidInputError, match="too few"):
        calibration_pairs(questions, 0)
    many = [GradedQuestion(f"{q.id}{i}", f"{q.text} {i}", q.candidates) for q in questions for i in range(8)]
    pairs = calibration_pairs(many, 0)
    assert sorted(set(zip((q[:2] for q in pairs.queries), pairs.positives, strict=True))) == [
        ("qa", "two"),
        ("qb", "three"),
    ]
    assert len(pairs) == 16
    assert pairs.queries != sorted(pairs.queries)
