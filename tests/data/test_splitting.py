"""Long texts become pieces that fit, cut where they are structured, none of it lost; short ones stay as they are."""

from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtools.generated import examples
from uec_retriever.data.corpus import Corpus
from uec_retriever.data.records import Record
from uec_retriever.data.splitting import TOKENS, Splitter, Window
from uec_retriever.errors import CorpusError, InvalidInputError


def words(extra=0):
    return lambda text: len(text.split()) + extra


def sentences(count, word):
    return " ".join(f"The {word} number {i} is here." for i in range(count))


GUIDE = (
    "# Guide\n\nIntro.\n\n## Setup\n\n"
    + sentences(30, "pump")
    + "\n\n## List\n\n"
    + "\n".join(f"- item {i} of the list" for i in range(30))
    + "\n\n## Empty\n\n# Other\n\n## Sub\n\n"
    + sentences(20, "valve")
)
MANUAL = f"=====\nTitle\n=====\n\nIntro.\n\nSetup\n~~~~~\n\n{sentences(30, 'pump')}\n\nUse\n~~~\n\n{sentences(3, 'tap')}"
SMALL = Splitter([Window(40, words(2))])


def check_pieces(splitter, text, pieces):
    """They fit, they are where they say, in order, and hold all that is not blank."""
    assert all(splitter.fits(p.text) and text[p.start : p.start + len(p.text)] == p.text for p in pieces)
    assert [p.start for p in pieces] == sorted({p.start for p in pieces})
    assert "".join("".join(p.text for p in pieces).split()) == "".join(text.split())


def test_markdown_is_cut_at_its_structure():
    pieces = SMALL.split(GUIDE, "markdown")
    check_pieces(SMALL, GUIDE, pieces)
    assert [p.headings for p in pieces if p.text.startswith("#")] == [
        "Guide", "Guide > Setup", "Guide > List", "Other > Sub",
    ]  # fmt: skip
    assert not any(p.text.lstrip("# ") in ("Setup", "List", "Other", "Sub") for p in pieces)
    assert all(p.text[-1] == "." for p in pieces if "pump" in p.text)
    assert all(p.text.startswith(("- item", "## List")) for p in pieces if "item" in p.text)


@pytest.mark.parametrize("markup", ["plain", "markdown", "rst"])
@pytest.mark.parametrize("blank", sorted({chr(i) for i in range(0x3100) if chr(i).isspace()}))
def test_no_piece_is_blank_whatever_is_blank(blank, markup):
    text = f"{sentences(9, 'pump')}\n\n{f'{blank} ' * 90}\n\n{sentences(9, 'valve')}"
    characters = Splitter([Window(40, lambda piece: len(piece) // 4)])
    pieces = characters.records(Record("a", text), markup)
    assert len(pieces) >= 4 and all(piece.text.strip() for piece in pieces)
    assert [piece.metadata["position"] for piece in pieces] == list(range(len(pieces)))


def test_restructured_text_is_cut_at_its_structure():
    pieces = SMALL.split(MANUAL, "rst")
    check_pieces(SMALL, MANUAL[pieces[0].start :], SMALL.split(MANUAL[pieces[0].start :], "rst"))
    assert pieces[0].text == "Title\n=====\n\nIntro." and pieces[0].headings == "Title"
    assert pieces[1].text.startswith("Setup\n~~~~~\n\nThe pump") and pieces[1].headings == "Title > Setup"
    assert all(SMALL.fits(p.text) for p in pieces)


def by_lines(text):
    """As tokenizers count for which a line's end, or a mark of a line below a title, is a token of its own."""
    return 2 + len(text.split()) + 3 * text.count("\n") + text.count("~")


@pytest.mark.parametrize(("text", "markup"), [(GUIDE, "markdown"), (MANUAL, "rst")])
@pytest.mark.parametrize("limit", [24, 30, 40, 55])
def test_pieces_fit_as_they_are_not_as_they_were_measured(text, markup, limit):
    splitter = Splitter([Window(limit, by_lines)])
    pieces = splitter.split(text, markup)
    check_pieces(splitter, text[pieces[0].start :], splitter.split(text[pieces[0].start :], markup))
    assert max(by_lines(p.text) for p in pieces) <= limit


def test_plain_texts_are_cut_at_paragraphs_and_sentences():
    text = f"{sentences(4, 'a')}\n\n{sentences(4, 'b')}\n\n{sentences(9, 'c')}\n\n# no heading"
    pieces = SMALL.split(text)
    check_pieces(SMALL, text, pieces)
    assert pieces[0].text == sentences(4, "a") and pieces[1].text == sentences(4, "b")
    assert {p.headings for p in pieces} == {""}


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(
        st.sampled_from(["# A\n", "## B\n\n", "word ", "a longer sentence. ", "\n\n", "- x\n", "```\n", "é", "語語", "=\n", "🛩 "]),
        min_size=20, max_size=200,
    ).map("".join),
    st.sampled_from(["plain", "markdown", "rst"]),
)  # fmt: skip
def test_nothing_is_lost_and_all_fits_whatever_the_text(text, markup):
    splitter = Splitter([Window(30, lambda t: 2 + len(t.encode()) // 3)])
    if not text.strip():
        return
    pieces = splitter.split(text, markup)
    assert all(splitter.fits(p.text) and text[p.start : p.start + len(p.text)] == p.text for p in pieces)
    if markup != "rst":  # there lines above titles go
        assert "".join("".join(p.text for p in pieces).split()) == "".join(text.split())


def test_a_large_text_takes_no_more_work_for_each_piece_than_a_small_one():
    """All that is left was counted again and again: 3 MB took over ten minutes."""
    read = 0

    def counted(text):
        nonlocal read
        read += len(text)
        return 2 + len(text.split())

    text = ("\n\n".join(topics.values()) * 3)[:800_000]
    splitter = Splitter([Window(256, counted)])
    pieces = splitter.split(text, "markdown")
    assert read < 30 * len(text)
    check_pieces(Splitter([Window(256, words(2))]), text, pieces)


def test_the_smallest_window_decides_whatever_the_tokens_are():
    wide, narrow = Window(300, len), Window(60, words())  # characters, and words
    both = Splitter([wide, narrow])
    pieces = both.split(sentences(60, "pump"))
    assert all(len(p.text) <= 300 and len(p.text.split()) <= 60 for p in pieces)
    assert max(len(p.text) for p in pieces) > 200
    assert [len(s.split("a " * 90)) for s in (both, Splitter([narrow]), Splitter([wide]))] == [2, 2, 1]


def test_a_window_that_is_not_told_is_taken_for_512_tokens_of_4_bytes():
    splitter = Splitter([None])
    assert splitter.tokens == TOKENS
    assert splitter.fits("x" * 2048) and not splitter.fits("x" * 2049) and not splitter.fits("é" * 1025)
    assert Splitter([None, Window(8192, words())]).fits("x " * 512)
    assert not Splitter([Window(8192, words())]).fits("x " * 513)
    assert Splitter([Window(8192, words())], 1000).fits("x " * 513)
    assert not Splitter([Window(100, words())], 1000).fits("x " * 101)


def test_a_record_becomes_pieces_that_say_where_they_are_from():
    record = Record("doc", GUIDE, {"lang": "en"}, payload="p")
    pieces = SMALL.records(record, "markdown")
    assert [p.id for p in pieces[:2]] == ["doc#0000", "doc#0001"] and len(pieces) > 5
    assert pieces[1].metadata == {
        "lang": "en", "document_id": "doc", "position": 1, "start": GUIDE.index("## Setup"), "headings": "Guide > Setup",
    }  # fmt: skip
    assert {p.source for p in pieces} == {"doc"} and {p.payload for p in pieces} == {"p"}
    assert SMALL.records(record, "markdown") == pieces  # again
    assert SMALL.records(Record("doc", "now short")) == [Record("doc", "now short")]


def test_a_record_that_fits_stays_as_it_is():
    record = Record("doc", "# A\n\nshort", {"position": "left"}, embedded="other")
    assert SMALL.records(record, "markdown") == [record]


@pytest.mark.parametrize("key", ["document_id", "position", "start", "headings"])
def test_metadata_of_ones_own_are_not_overwritten(key):
    with pytest.raises(InvalidInputError, match=f"'doc' is long and has metadata of its own called '{key}'"):
        SMALL.records(Record("doc", GUIDE, {key: "mine"}))
    with pytest.raises(InvalidInputError, match="embedded as another text"):
        SMALL.records(Record("doc", GUIDE, embedded="other"))


def test_what_cannot_be_split_for_is_refused():
    with pytest.raises(InvalidInputError, match="sees 20 tokens .* its prompt takes 15"):
        Splitter([Window(20, words(15))])
    with pytest.raises(InvalidInputError, match="16"):
        Splitter([None], 3)


def test_a_corpus_is_split_as_it_is_read(tmp_path):
    (tmp_path / "a.md").write_text(GUIDE)
    (tmp_path / "b.txt").write_text("short")
    (tmp_path / "c.txt").write_text(f"{sentences(20, 'wing')}")
    documents = list(Corpus(tmp_path, splitter=SMALL))
    ids = [d.record.id for d in documents]
    assert ids[0] == "a.md#0000" and "b.txt" in ids and "c.txt#0001" in ids
    assert "document_id" not in documents[ids.index("b.txt")].record.metadata
    assert documents[1].record.metadata["headings"] == "Guide > Setup"
    assert documents[1].body == documents[1].record.text and documents[1].title == ""


def test_a_title_goes_with_the_first_piece(tmp_path):
    (tmp_path / "c.jsonl").write_text(
        f'{{"_id": "1", "title": "Of pumps", "text": "{sentences(20, "pump")}"}}\n'
    )
    first, second, *_ = Corpus(tmp_path / "c.jsonl", splitter=SMALL)
    assert first.title == "Of pumps" and first.body.startswith("The pump number 0")
    assert first.record.text.startswith("Of pumps The pump")
    assert second.title == "" and second.record.metadata["title"] == "Of pumps"
    (tmp_path / "c.jsonl").write_text(f'{{"_id": "1", "start": 5, "text": "{sentences(20, "pump")}"}}\n')
    with pytest.raises(CorpusError, match="'1' is long and has metadata of its own called 'start'"):
        list(Corpus(tmp_path / "c.jsonl", splitter=SMALL))
