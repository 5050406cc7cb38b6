"""How hits look to people."""

import pytest

from uec_retriever.cli.hits import Style, describe_origin, show_result, split_title
from uec_retriever.cli.safe import SafeConsole
from uec_retriever.data.records import Record
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.engine.results import Hit, MatchedWords, SearchResult

LONG_ID = "docs/a-rather-long-folder-name/another-one-in-it/" + "0123456789abcdef" * 4 + ".md#17"


@pytest.fixture
def screen(monkeypatch, capsys):
    """`screen(result, width, ...)`: the lines that are shown of a result."""

    def show(result, width, **style):
        monkeypatch.setattr(
            "uec_retriever.cli.hits.output", SafeConsole(width=width, highlight=False, markup=False)
        )
        capsys.readouterr()
        show_result(result, Style(**style))
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return show


def result(*records, query="wing heat", **parts):
    analyzer = WordAnalyzer()
    hits = [Hit(record, 0.75, 0.5, 0.04) for record in records]
    return SearchResult(
        query, {"one": 1.0}, hits, words=MatchedWords(analyzer, analyzer.terms(query)), **parts
    )


@pytest.mark.parametrize("width", [40, 80, 140])
def test_ids_are_whole_on_one_line(screen, width):
    shown = screen(result(Record(LONG_ID, "a wing " * 50), Record("d1", "heat")), width)
    assert any(line == LONG_ID or line.endswith(f"  {LONG_ID}") for line in shown)
    assert " 2  0.750  0.020  d1" in shown
    assert all(len(line) <= width for line in shown if LONG_ID not in line)


def test_an_id_with_line_breaks_keeps_the_table(screen):
    shown = screen(result(Record("a\nb\tc", "a wing"), Record("d1", "heat")), 80)
    assert shown[2:] == [" 1  0.750  0.020  a␊b␉c", "    a wing", " 2  0.750  0.020  d1", "    heat"]


def test_as_many_lines_as_asked_for(screen):
    found = result(Record("d1", "nothing " * 100 + "a wing in heat " + "and so on " * 100))
    for lines in (0, 1, 2, 5):
        shown = screen(found, 80, lines=lines)[3:]
        assert len(shown) == lines and all(line.startswith("    ") for line in shown)
        assert not lines or "wing in heat" in " ".join(shown)


def test_whole_texts_keep_their_lines(screen):
    shown = screen(result(Record("d1", "first line\n  second " + "word " * 40 + "the end")), 60, lines=None)
    text = "\n".join(shown[3:])
    assert "    first line\n      second word" in text and "the end" in text and "…" not in text


def test_a_title_is_shown_once(screen):
    title = "The wing"
    for text in (f"{title} of heat", f"{title} {title} of heat", f"{title}\n{title}\nof heat"):
        shown = screen(result(Record("d1", text, {"title": title})), 80)[3:]
        assert shown == ["    The wing", "    of heat"]
    assert screen(result(Record("d1", "of heat", {"title": title})), 80)[3:] == [
        "    The wing",
        "    of heat",
    ]
    assert screen(result(Record("d1", "of heat")), 80)[3:] == ["    of heat"]


@pytest.mark.parametrize(
    "text",
    [
        "========\nThe wing\n========\n\nof heat\n\nMore\n----\n\nand so on",
        "# The wing\n\nof heat\n\n## More\n\nand so on",
        "The wing\n===\nof heat\nMore\n~~~~\nand so on\n***",
    ],
)
def test_what_marks_headings_is_left_out(screen, text):
    """Of excerpts: the whole text is shown as it is."""
    titled = Record("d1", text, {"title": "The wing"})
    assert screen(result(titled), 80)[3:] == ["    The wing", "    of heat More and so on"]
    assert screen(result(Record("d1", text)), 80)[3:] == ["    The wing of heat More and so on"]
    assert [line.strip() for line in screen(result(Record("d1", text)), 80, lines=None)[3:] if line] == [
        line for line in text.splitlines() if line
    ]


def test_matches_stay_where_they_are_without_the_title():
    text = "The wing in heat"
    title, rest, places = split_title(text, "The wing", [(4, 8), (12, 16)])
    assert (title.plain, rest, [rest[s:e] for s, e in places]) == ("The wing", "in heat", ["heat"])
    assert [title.plain[span.start : span.end] for span in title.spans if span.style == "bold green"] == [
        "wing"
    ]


@pytest.mark.parametrize(
    ("identifier", "metadata", "told"),
    [
        ("d1", {}, ""),
        ("d1", {"path": "a/b.md"}, "a/b.md"),
        ("a/b.md", {"path": "a/b.md"}, ""),
        ("a/b.md#3", {"path": "a/b.md", "position": 3}, ""),
        ("x", {"document_id": "doc", "position": 3}, "doc, piece 3"),
        ("x", {"path": "a.md", "document_id": "doc", "headings": "Use › Linux", "position": 2}, "a.md › Use › Linux, piece 2"),
        ("a.md#2", {"document_id": "a.md", "headings": ["Use", "Linux"]}, "Use › Linux"),
        ("x", {"document_id": "doc", "headings": "with\n\x1b[2J"}, "doc › with ␛[2J"),
    ],
)  # fmt: skip
def test_where_a_piece_is_from(identifier, metadata, told):
    assert describe_origin(identifier, metadata) == told


def test_where_a_piece_is_from_stands_on_one_line(screen):
    headings = " › ".join(["a long heading"] * 20)
    shown = screen(result(Record("x", "heat", {"path": "guide.md", "headings": headings})), 80)[3:]
    assert len(shown) == 2 and shown[0].startswith("    guide.md › a long heading") and shown[0].endswith("…")


def test_a_confidence_says_for_which_k(screen):
    one = Record("d1", "heat")
    for found, said in (
        (result(one, confidence=0.8), "confidence that the first 5 hold a right answer (of which 1 is shown): 80%, likely in here"),
        (result(*[one] * 5, confidence=0.8), "confidence that the first 5 hold a right answer: 80%, likely in here"),
        (result(one, confidence_reason="too few"), "no confidence that the first 5 hold a right answer: too few"),
        (result(confidence=0.1, abstained=True), "abstained: the confidence that the first 5 hold a right answer is too low"),
    ):  # fmt: skip
        assert said in screen(found, 100, k=5)
    assert not any("confidence" in line for line in screen(result(one, confidence_reason="none"), 100))
