"""Many questions to one process: from a file, and one after another on standard input."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import refused
from uec_retriever.cli.questions import Question, Unreadable, parse_question

PROGRAM = "import sys; sys.argv[0] = 'uec'; from uec_retriever.cli import main; main()"


@pytest.fixture
def standard_input(monkeypatch):
    """`standard_input(content)` is what the program gets to read."""

    def give(content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))

    return give


def lines(outcome):
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_each_is_answered_before_the_next_is_asked(index):
    """With pipes on both sides, as a script has them: each answer is there although the input goes on."""
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "search",
        "--index",
        str(index),
        "-k",
        "2",
        "--json",
        "--queries",
        "-",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        for asked, identifier, text in (
            (b"wing heat\n", "1", "wing heat"),
            (b'{"_id": "mine", "text": "flow"}\n', "mine", "flow"),
            (b"{broken\n", None, None),
            (b"layer\r\n", "4", "layer"),
        ):
            program.stdin.write(asked)
            program.stdin.flush()
            answer = json.loads(program.stdout.readline())
            assert answer["_id"] == identifier and answer.get("query") == text
            assert (
                len(answer["hits"]) == 2 if identifier else answer["line"] == 3 and "JSON" in answer["error"]
            )
        program.stdin.close()
        assert program.wait(30) == 1 and b"1 of the lines held no question" in program.stderr.read()
        assert program.stdout.read() == b""


def test_answers_are_those_of_single_searches(uec, index, standard_input, tmp_path):
    asked = ["wing heat", "flow of the layer", "pressure"]
    single = [json.loads(uec("search", "--index", index, "--json", text).out) for text in asked]
    standard_input("\n\n".join(asked).encode())
    streamed = lines(uec("search", "--index", index, "--json", "--queries", "-"))
    (tmp_path / "q.txt").write_text("\n".join(asked))
    from_file = lines(uec("search", "--index", index, "--json", "--queries", tmp_path / "q.txt"))
    for found, ids in ((streamed, ["1", "3", "5"]), (from_file, ["1", "2", "3"])):
        assert [answer.pop("_id") for answer in found] == ids
        for answer, expected in zip(found, single, strict=True):
            assert answer.keys() == expected.keys() and answer["query"] == expected["query"]
            assert [h["id"] for h in answer["hits"]] == [h["id"] for h in expected["hits"]]


def test_for_people(uec, index, standard_input):
    standard_input(b'wing\n\n{"_id": "q7", "text": "heat"}\n\xff\n')
    told = uec("search", "--index", index, "-k", "1", "--queries", "-")
    assert told.code == 1 and "line 4 is not UTF-8" in told.err
    assert [line for line in told.out.splitlines() if line in ("1: wing", "q7: heat")] == [
        "1: wing",
        "q7: heat",
    ]
    assert told.out.count("trust in the experts") == 2


def test_a_beir_folder_and_options_of_searches(uec, index, tmp_path):
    rows = [{"_id": f"q{i}", "text": f"wing {i}"} for i in range(70)]  # more than one batch
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert uec("calibrate-confidence", "--index", index).code == 0
    found = lines(
        uec("search", "--index", index, "-k", "3", "--json", "--queries", tmp_path, "--min-confidence", "1")
    )
    assert [answer["_id"] for answer in found] == [row["_id"] for row in rows]
    assert all(answer["abstained"] and answer["confidence_k"] == 10 for answer in found)


def test_a_file_is_read_before_any_work(uec, tmp_path):
    path = tmp_path / "q.txt"
    for content, words in (
        ('wing\n{"text": 3}\n', ["line 2", "'text'"]),
        ("\n \n", ["holds no question"]),
        ('{"text": "wing", "_id": [1]}\n', ["line 1", "'_id' is list"]),
    ):
        path.write_text(content)
        refused(uec("search", "--index", tmp_path / "none", "--queries", path), *words)


def test_a_mark_and_spaces_are_no_part_of_a_question():
    assert parse_question(b"\xef\xbb\xbf  a wing \r\n", 1) == Question("1", "a wing")
    assert parse_question('{"id": 7, "text": "größe"}'.encode(), 2) == Question("7", "größe")
    assert parse_question(b" \t\n", 3) is None


@pytest.mark.parametrize("line", [b'{"_id": 3}', b'{"_id": "3", "text": null}'])
def test_a_line_without_text_is_told_by_its_id(line, uec, index, standard_input):
    assert parse_question(line, 7) == Unreadable(7, "has no 'text'", "3")
    standard_input(line)
    [answer] = lines(uec("search", "--index", index, "--queries", "-", "--json"))
    assert answer == {"_id": "3", "line": 1, "error": "has no 'text'"}


@given(st.binary(max_size=40))
def test_no_line_breaks_it(line):
    read = parse_question(line, 5)
    assert read is None or isinstance(read, Unreadable) or read.text.strip()


ASKED = {
    "plain": "wing heat\n\nflow\n",
    "BEIR": '{"_id": "1", "text": "wing heat"}\n{"_id": "3", "text": "flow"}\n',
    "both": 'wing heat\n\n{"id": 3, "text": "flow"}\n',
}


@pytest.mark.parametrize("content", ASKED.values(), ids=ASKED)
def test_a_run_takes_the_questions_that_a_search_takes(uec, index, tmp_path, content, standard_input):
    (tmp_path / "q").write_text(content)
    searched = lines(uec("search", "--index", index, "-k", 3, "--queries", tmp_path / "q", "--json"))
    outcome = uec("search", "--index", index, "-k", 3, "--queries", tmp_path / "q", "--run", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    found = [line.split() for line in (tmp_path / "run").read_text().splitlines()]
    expected = [(answer["_id"], hit["id"]) for answer in searched for hit in answer["hits"]]
    assert [(row[0], row[2]) for row in found] == expected and {row[0] for row in found} == {"1", "3"}


@pytest.mark.parametrize(
    "content, words",
    [
        ('{"_id": "a b", "text": "wing"}', "'a b' of a question has a space, which a TREC run cannot hold"),
        ('{"_id": "", "text": "wing"}', "'' of a question is empty"),
        ('wing\n{"_id": "1", "text": "flow"}', "two questions have the id '1'"),
    ],
)
def test_a_run_refuses_ids_that_it_cannot_hold_before_anything_is_loaded(uec, tmp_path, content, words):
    (tmp_path / "q").write_text(content)
    options = ("--queries", tmp_path / "q", "--run", tmp_path / "run")
    refused(uec("search", "--index", tmp_path / "none", *options), words)
