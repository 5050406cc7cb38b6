"""The part of a text that a search shows."""

import re

from hypothesis import given
from hypothesis import strategies as st

from uec_retriever.cli.excerpt import ELLIPSIS, cut_excerpt, without_heading_marks
from uec_retriever.data.words import WordAnalyzer


def shown(text, query, width):
    """The excerpt, and the words that are highlighted in it."""
    analyzer = WordAnalyzer()
    part, spans = cut_excerpt(text, analyzer.matched(analyzer.terms(query), text), width)
    return part, [part[start:end] for start, end in spans]


@given(st.text(alphabet="ab #=-\n", max_size=60))
def test_without_the_marks_of_headings_matches_are_the_same_words(text):
    matched = [found.span() for found in re.finditer("[ab]+", text)]
    plain, spans = without_heading_marks(text, matched)
    assert [plain[start:end] for start, end in spans] == [text[start:end] for start, end in matched]


def test_a_short_text_is_shown_whole():
    assert shown("the heat of a wing", "wing heat", 80) == ("the heat of a wing", ["heat", "wing"])


def test_without_matches_the_beginning_is_shown():
    part, words = shown("one two " * 100, "three", 40)
    assert part.startswith("one two one") and words == []


def test_matches_far_behind_are_shown_with_what_stands_before():
    part, words = shown(
        "nothing at all here " * 50 + "but heated wings " + "and so on " * 50, "wing heat", 60
    )
    assert part.startswith(ELLIPSIS) and words == ["heated", "wings"]
    assert part.startswith(f"{ELLIPSIS}all here but heated wings and so on")


def test_different_words_count_more_than_one_word_often():
    text = "wing wing wing wing. " + "nothing here " * 20 + "the wing of the layer. " + "nothing here " * 20
    part, words = shown(text, "wing layer", 40)
    assert words[:2] == ["wing", "layer"] and part.startswith(ELLIPSIS)


def test_the_earliest_of_equals_and_the_beginning_before_all():
    part, words = shown("a wing. " + "nothing here " * 20 + "a wing. ", "wing", 40)
    assert part.startswith("a wing. nothing") and words == ["wing"]


def test_lines_are_joined():
    text = "\n  nothing\n\n" * 30 + "new\n\nwing\t of\u2029heat"
    part, words = shown(text, "wing heat", 40)
    assert part == f"{ELLIPSIS}new wing of heat" and words == ["wing", "heat"]


def test_words_without_spaces_between_them():
    part, words = shown("x" * 5000 + "，翼の熱", "翼の熱", 40)
    assert words == ["翼の熱"] and len(part) < 100


def test_very_many_matches_take_no_time():
    part, words = shown("wing heat " * 20_000, "wing heat layer", 80)
    assert part.startswith("wing heat") and set(words) == {"wing", "heat"}


@given(
    st.lists(st.sampled_from(["wing", "heat", "\n", "  ", " ", "x" * 30, "the", "\u3000", "é", "."])),
    st.integers(-5, 90),
)
def test_highlighted_are_matches_alone(pieces, width):
    text = "".join(pieces)
    part, spans = cut_excerpt(text, [m.span() for m in re.finditer("wing|heat", text)], width)
    assert all(part[start:end] in ("wing", "heat") for start, end in spans[:-1])  # the last may be cut
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    assert "\n" not in part and "  " not in part
    assert bool(spans) == ("wing" in text or "heat" in text)
