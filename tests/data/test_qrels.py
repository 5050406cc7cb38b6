"""Judgements by hand, in every layout that the parser takes."""

import json

import pytest

from uec_retriever.data.qrels import read_qrels, read_relevant, read_split, whole_judgements
from uec_retriever.errors import CorpusError

HEADER = "query-id\tcorpus-id\tscore\n"
ROWS = "q1\ta\t1\nq1\tb\t0\nq2\ta\t2\n"
FOUND = {"q1": {"a": 1, "b": 0}, "q2": {"a": 2}}


@pytest.fixture
def qrels(tmp_path):
    def write(text):
        path = tmp_path / "qrels.tsv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        HEADER + ROWS,
        "\ufeff" + HEADER + ROWS,
        "\ufeff" + ROWS,
        (HEADER + ROWS).replace("\n", "\r\n"),
        "\n" + HEADER + "\n \n" + ROWS + "\n\n",
        ROWS.removesuffix("\n"),
        "q1\t0\ta\t1\nq1\t0\tb\t0\nq2\t0\ta\t2\n",
        "query iteration document judgement\nq1 0 a 1\nq1  0  b  0\nq2 0 a 2\n",
        ROWS.replace("2\n", "1\n") + "q2\ta\t2.0\n",
    ],
    ids="bare header bom bom-bare crlf blank-lines no-last-break trec trec-spaces last-counts".split(),
)
def test_layouts(qrels, text):
    found = read_qrels(qrels(text))
    assert found == FOUND
    assert {type(score) for scores in found.values() for score in scores.values()} == {int}


def test_fractions_and_ids_with_spaces(qrels):
    assert read_qrels(qrels("q 1\ta b\t0.5\nq 1\tc\t-1\nq 1\td\t1e-3\n")) == {
        "q 1": {"a b": 0.5, "c": -1, "d": 0.001}
    }


def test_an_empty_file_judges_nothing(qrels):
    assert read_qrels(qrels("")) == read_qrels(qrels(HEADER)) == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEADER + ROWS + "q3\ta\n", 5),
        (HEADER + HEADER, 2),
        (ROWS + "q3\ta\thigh\n", 4),
        ("q1\t1\n", 1),
        (HEADER + "\nq1\ta\tnan\n", 3),
        (HEADER + "q1\ta\tinf\n", 2),
        (HEADER + "\ta\t1\n", 2),
        (HEADER + "q1\t\t1\n", 2),
        (HEADER + "q1\t0\ta\t1\t1\n", 2),
    ],
)
def test_a_line_that_is_no_judgement_is_named(qrels, text, line):
    path = qrels(text)
    with pytest.raises(
        CorpusError, match=rf"qrels\.tsv, line {line}: expected query-id, corpus-id and score"
    ):
        read_qrels(path)


def test_files_that_cannot_be_read(qrels, tmp_path):
    with pytest.raises(CorpusError, match=r"cannot read .*absent\.tsv"):
        read_qrels(tmp_path / "absent.tsv")
    with pytest.raises(CorpusError, match=r"cannot read .*qrels\.tsv.*utf-8"):
        read_qrels(qrels(b"q1\tcaf\xe9\t1\n"))


def test_splits_are_files_of_the_folder(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "train.tsv").write_text(ROWS)
    assert read_split(tmp_path, "train") == FOUND
    with pytest.raises(CorpusError, match=r"no split 'dev' .*\['train'\]"):
        read_split(tmp_path, "dev")


def test_relevant_records_of_a_query_text(tmp_path, qrels):
    queries = [("1", "a"), ("2", "b"), ("3", "a"), ("4", "c")]
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in queries)
    )
    rows = "1\tx\t1\n1\ty\t0\n3\tz\t.5\n2\tx\t0\n9\tx\t1\n"
    expected = {"a": {"x", "z"}, "b": set()}
    assert read_relevant(tmp_path, qrels(rows)) == expected
    assert read_relevant(tmp_path / "queries.jsonl", qrels(HEADER + rows)) == expected
    with pytest.raises(CorpusError, match="do their ids agree"):
        read_relevant(tmp_path, qrels(HEADER + "9\tx\t1\n"))


@pytest.mark.parametrize(
    ("judgements", "expected"),
    [
        ([2, 0, -1], [2, 0, -1]),
        ([2.0, 0.0], [2, 0]),
        ([0.5, 1, 0], [5, 10, 0]),
        ([0.25, 0.1, -0.5], [25, 10, -50]),
        ([0.7, 0.1], [7, 1]),
        ([1 / 3, 1e-9, 0], [3333, 1, 0]),
    ],
)
def test_whole_judgements(judgements, expected):
    found = whole_judgements({str(i): value for i, value in enumerate(judgements)})
    assert list(found.values()) == expected
    assert {type(value) for value in found.values()} == {int}


@pytest.mark.parametrize("cell", ["nan", "inf"])
def test_a_first_line_whose_judgement_is_no_finite_number_is_no_header(tmp_path, cell):
    path = tmp_path / "qrels.tsv"
    path.write_text(f"q\td\t{cell}\nq\te\t1\n")
    with pytest.raises(CorpusError, match="line 1"):
        read_qrels(path)


def test_quotes_are_part_of_ids(tmp_path):
    path = tmp_path / "qrels.tsv"
    path.write_text('"q\td"\t1\n')
    assert read_qrels(path) == {'"q': {'d"': 1}}
