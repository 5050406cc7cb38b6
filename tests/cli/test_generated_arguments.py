"""Generated arguments and files through the command line: it does what was asked or says what is wrong, in a line."""

import json
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.generated import ANYTHING, GENERATED

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# what a shell can hand over, and option parsers do not take for an option
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30).filter(
    lambda text: not text.startswith("-")
)
FILTERS = (
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(("parity", "$and", "$or", "$in", "$gt", "$eq")) | st.text(max_size=4),
                inner,
                max_size=3,
            )
        ),
        max_leaves=6,
    ).map(json.dumps)
    | WORDS
)
FIELDS = st.sampled_from(("_id", "id", "text", "title", "metadata", "contents", ""))
ROWS = st.dictionaries(FIELDS, ANYTHING.map(lambda value: _told(value)), max_size=4).map(json.dumps)
LINES = st.lists(ROWS | FILTERS | st.sampled_from(("", "{", "[" * 9999, "1" * 5000, "﻿{}")), max_size=5)
FILES = st.one_of(
    LINES.map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")),
    st.binary(max_size=60),
    st.builds(
        lambda rows: "\n".join(map(",".join, rows)).encode(),
        st.lists(st.lists(WORDS, max_size=3), max_size=4),
    ),
)


def _told(value):
    """What JSON can tell of a value."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return repr(type(value))


@pytest.fixture
def place(made_index, tmp_path):
    return shutil.copytree(made_index, tmp_path / "idx")


def checked(outcome):
    """The outcome of a command that either worked or said what is wrong."""
    assert outcome.code in (0, 1, 2), outcome
    assert "Traceback" not in outcome.err + outcome.out
    assert not _CONTROLS.search(outcome.out + outcome.err), outcome
    if outcome.code:
        assert "rror" in outcome.err and len(outcome.err) < 6000, outcome
    return outcome


@GENERATED
@given(
    query=WORDS,
    where=st.none() | FILTERS,
    k=WORDS | st.integers(-2, 70) | st.integers(),
    as_json=st.booleans(),
)
def test_search(uec, made_index, query, where, k, as_json):
    options = [f"--where={where}"] if where is not None else []
    outcome = checked(uec("search", "-i", made_index, f"-k={k}", *options, *["--json"] * as_json, query))
    if as_json and not outcome.code:
        assert len(json.loads(outcome.out)["hits"]) <= 60


@GENERATED
@given(
    contents=FILES,
    name=st.sampled_from(("c.jsonl", "c.csv", "c.json", "c.txt", "c.md", "c.parquet", "c.jsonl.gz")),
    options=st.sampled_from(([], ["--sync"], ["--existing", "refuse"], ["--existing", "skip"])),
)
def test_a_corpus_is_indexed_or_refused(uec, place, tmp_path, contents, name, options):
    (tmp_path / name).write_bytes(contents)
    outcome = checked(uec("index", "-i", place, "--corpus", tmp_path / name, *options))
    if not outcome.code:
        assert re.search(r"\d+ added", outcome.out)


@GENERATED
@given(ids=st.lists(WORDS, max_size=2), where=st.none() | FILTERS)
def test_delete(uec, place, ids, where):
    options = [f"--where={where}"] if where is not None else []
    outcome = checked(uec("delete", "-i", place, *(f"--id={i}" for i in ids), *options))
    if not outcome.code:
        assert "deleted" in outcome.out


@GENERATED
@given(contents=FILES)
def test_labelled_queries(uec, made_index, tmp_path, contents):
    data = tmp_path / "data"
    (data / "qrels").mkdir(parents=True, exist_ok=True)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (data / name).write_bytes(contents)
    checked(uec("eval", "retrieval", "--data", data, "--expert", "/nowhere"))
    checked(uec("label", "--data", data, "--judge", "/nowhere", "--out", tmp_path / "labels.jsonl"))
