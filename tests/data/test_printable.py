import unicodedata

import pytest

from uec_retriever.data.printable import printable, run_problem

BIDI = [chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))]


def test_no_character_that_steers_a_terminal_is_left():
    every = "".join(map(chr, range(0x110000)))
    shown = printable(every)
    assert len(shown) == len(every)
    steering = {c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    assert steering == {"\t", "\n"}
    assert not set(BIDI) & set(shown)
    shown.encode()


@pytest.mark.parametrize(
    "text", ["plain", "naïve 東京\n\tعربي", "👩\u200d🔬 family", "می\u200cخواهم", "\u200eleft"]
)
def test_what_scripts_need_stays(text):
    assert printable(text) == text


def test_what_is_hidden_can_be_seen():
    assert printable("\x1b]0;title\x07\x7f\x9b2J") == "␛]0;title␇␡�2J"


@pytest.mark.parametrize(
    ("identifier", "problem"),
    [("d1", None), ("東京-1", None), ("a b", "space"), ("a\u00a0b", "space"), ("a\x1b[2J", "control"), ("a\x9bb", "control")],
)  # fmt: skip
def test_ids_in_a_run(identifier, problem):
    found = run_problem(identifier)
    assert found is None if problem is None else problem in found
