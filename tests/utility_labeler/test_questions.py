import json

import pytest

from uec_retriever.errors import CorpusError
from uec_retriever.utility_labeler.questions import Questions


@pytest.fixture
def folder(tmp_path):
    def write(*rows, qrels=None):
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        (tmp_path / "queries.jsonl").write_text(text)
        if qrels is not None:
            (tmp_path / "qrels").mkdir(exist_ok=True)
            (tmp_path / "qrels" / "train.tsv").write_text(qrels)
        return tmp_path

    return write


def row(identifier, **metadata):
    return {"_id": identifier, "text": f"what is {identifier}", "metadata": metadata}


def test_beir_folder_with_answers_group_and_qrels(folder):
    path = folder(
        row("a", answer=" x ", answers=["y", "x", "x"], group=7),
        row("b", answers=["z"]),
        {"_id": 3, "text": "top", "answer": "w"},
        row("d", answer="not in the split"),
        qrels="query-id\tcorpus-id\tscore\na\t1\t1\na\t2\t0\nb\t3\t2\n3\t1\t1\n",
    )
    a, b, c = Questions(path, "train")
    assert (a.answers, a.group, a.relevance) == (("x", "y"), "7", {"1": 1, "2": 0})
    assert (b.answers, b.group, c.id, c.relevance) == (("z",), None, "3", {"1": 1})
    assert [q.relevance for q in Questions(path)] == [None] * 4


def test_absent_and_empty_answers_are_refused_with_their_lines_or_passed_over(folder):
    path = folder(
        row("a", answer="x"), row("b"), row("c", answer="  "), row("d", answers=[]), row("e", answers=[""])
    )
    with pytest.raises(
        CorpusError, match=r"4 questions have no answer .*line 2; .*line 3; .*line 4; .*line 5"
    ):
        list(Questions(path))
    questions = Questions(path, skip_unanswered=True)
    assert [q.id for q in questions] == ["a"]
    assert len(questions.skipped) == 4


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row("a", answers=["x", " "]), "line 2: an answer is empty"),
        (row("a", answer=3), "line 2: an answer is int"),
        (row("a", answers="x"), "line 2: 'answers' is str"),
        ({"_id": "a", "text": " ", "answer": "x"}, "line 2: the question is empty"),
        ({"text": "q", "answer": "x"}, "line 2: '_id' is missing"),
        ({"_id": "a", "text": "q", "metadata": 3}, "line 2: 'metadata'"),
        ('{"_id": "a", ', "line 2: not JSON"),
        (row("first", answer="x"), "line 2: the id 'first' is that of .*line 1"),
        ({**row("a", answer="x"), "candidates": []}, "line 2: 'candidates'"),
        ({**row("a", answer="x"), "candidates": ["p", {"text": ""}]}, "candidate 1: the text is empty"),
        ({**row("a", answer="x"), "candidates": ["p", "p"]}, "candidate 1 repeats"),
        ({**row("a", answer="x"), "candidates": [{"text": "p", "relevance": "1"}]}, "no finite number"),
    ],
)
def test_bad_lines(folder, bad, words):
    with pytest.raises(CorpusError, match=words):
        list(Questions(folder(row("first", answer="x"), bad)))


def test_fractional_judgements_without_a_header(folder):
    [question] = Questions(folder(row("a", answer="x"), qrels="a\t1\t0.5\na\t2\t1\n"), "train")
    assert question.relevance == {"1": 0.5, "2": 1}


def test_qrels(folder):
    path = folder(row("a", answer="x"), qrels="a\t1\t1\nb\t1\t1\n")
    with pytest.raises(CorpusError, match="lacks 1 questions of the qrels, e.g. 'b'"):
        list(Questions(path, "train"))
    with pytest.raises(CorpusError, match=r"no split 'test' .*\['train'\]"):
        list(Questions(path, "test"))
    with pytest.raises(CorpusError, match="line 2: expected query-id"):
        list(Questions(folder(row("a", answer="x"), qrels="a\t1\t1\na\t1\n"), "train"))


def test_given_candidates(folder):
    given = ["plain", {"_id": 5, "title": "T", "text": "body", "relevance": 1}]
    (question,) = Questions(folder({**row("a", answer="x"), "candidates": given}) / "queries.jsonl")
    first, second = question.candidates
    assert (first.text, first.source, first.relevance) == ("plain", "given", None)
    assert (second.passage_id, second.text, second.relevance) == ("5", "T body", 1)
