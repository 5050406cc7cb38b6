import sys

import pytest

from uec_retriever.data.json_text import DEEPEST, parse_json, parse_object, read_json
from uec_retriever.errors import InvalidInputError

LONG = "1" * (sys.get_int_max_str_digits() + 1)


def nested(depth):
    return "[" * depth + "]" * depth


def test_values_of_texts_and_bytes():
    assert parse_json('{"a": [1, null]}') == {"a": [1, None]}
    assert parse_json('\ufeff{"a": "é"}'.encode()) == {"a": "é"}
    assert parse_json(nested(DEEPEST)) != []
    brackets = '{"a": "' + "[{" * 2 * DEEPEST + '\\"["}'
    assert len(parse_json(brackets)["a"]) == 4 * DEEPEST + 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON in UTF-8"),
        ("{", "not JSON in UTF-8"),
        ('\n\n{"a": }', "not JSON in UTF-8 .*line 3"),
        (b"\xff", "not JSON in UTF-8"),
        (LONG, r"more than \d+ digits: write it as a string"),
        (f'{{"a": 1,\n "b": -{LONG}}}', "digits in line 2: "),
        (nested(DEEPEST + 1), "more than 100 brackets within each other: flatten it"),
        ("[1,\n" + nested(DEEPEST) + "]", "within each other in line 2"),
        ("[1,\n" + nested(100_000) + "]", "within each other in line 2"),
        ("[" * 100_000, "within each other"),
        ('{"a":' * 100_000, "within each other"),
    ],
)
def test_whatever_is_wrong_is_our_error_with_the_line(text, words):
    with pytest.raises(InvalidInputError, match=words):
        parse_json(text)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"x"'])
def test_what_is_no_object(text):
    with pytest.raises(InvalidInputError, match="not a JSON object"):
        parse_object(text)


def test_files_are_named(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(InvalidInputError, match=r"cannot read .*a\.json: No such file"):
        read_json(path)
    path.write_text("[1]\n")
    assert read_json(path) == [1]
    path.write_text(f'{{"a": 1,\n "b": {LONG}}}')
    with pytest.raises(InvalidInputError, match=r"a\.json: .* in line 2"):
        read_json(path)
