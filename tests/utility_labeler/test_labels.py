"""The label file: exact keys, round trip, errors with their line, and no torch."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from uec_retriever.errors import LabelError
from uec_retriever.utility_labeler.labels import Label, read_labels

KEYS = (
    "question_id passage_id question passage answer log_likelihood_with log_likelihood_without utility "
    "answer_tokens prompt_tokens truncated source relevance group run"
).split()
LABEL = Label("q", "p", "wie?", "Flügel\n{}", "so", -1.25, -2.5, 1.25, 1, 9, False, "bm25", None, "g", "abc")


def write(path, *labels):
    path.write_text("".join(label.to_json() + "\n" for label in labels), encoding="utf-8")
    return path


def test_keys_and_round_trip(tmp_path):
    assert list(json.loads(LABEL.to_json())) == KEYS
    assert "\n" not in LABEL.to_json()
    other = replace(LABEL, passage_id="p2", relevance=1, group=None, truncated=True)
    graded = replace(LABEL, passage_id="p3", relevance=0.5)
    file = write(tmp_path / "l", LABEL, other, graded)
    assert list(read_labels(file)) == [LABEL, other, graded]
    assert [label.to_json() for label in read_labels(file)] == file.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"utility": "high"}, "'utility' is 'high'"),
        ({"utility": True}, "'utility' is True"),
        ({"utility": float("nan")}, "'utility' is nan: .*finite"),
        ({"truncated": 0}, "'truncated' is 0"),
        ({"source": "guess"}, "'source' is 'guess'"),
        ({"answer_tokens": 0}, "'answer_tokens' is 0: .*greater than or equal to 1"),
        ({"relevance": "1"}, "'relevance' is '1'"),
        ({"extra": 1}, r"unknown \['extra'\]"),
        ({"run": None}, "'run' is None"),
    ],
)
def test_wrong_values_are_named_with_their_line(tmp_path, change, words):
    path = write(tmp_path / "l", LABEL)
    with path.open("a") as file:
        file.write(json.dumps({**json.loads(LABEL.to_json()), "passage_id": "x", **change}) + "\n")
    with pytest.raises(LabelError, match=f"line 2: .*{words}"):
        list(read_labels(path))


def test_missing_key_torn_line_and_repetition(tmp_path):
    row = json.loads(LABEL.to_json())
    del row["answer"]
    for line, words in [
        (json.dumps(row), "lacks.*answer"),
        (LABEL.to_json()[:30], "not JSON"),
        ("[]", "a list"),
        (LABEL.to_json(), "earlier line"),
    ]:
        path = write(tmp_path / "l", LABEL)
        path.write_text(path.read_text() + line)
        with pytest.raises(LabelError, match=f"line 2: .*{words}"):
            list(read_labels(path))
    with pytest.raises(LabelError, match="cannot read"):
        list(read_labels(tmp_path / "absent"))


def test_reading_labels_needs_no_torch():
    code = (
        "import sys; from uec_retriever.utility_labeler import labels, inspection; "
        "print([m for m in ('torch', 'transformers', 'chromadb') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
