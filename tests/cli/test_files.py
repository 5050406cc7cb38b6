"""From a folder of files as people have them to answers, by the command line."""

import importlib.util
import json

import pytest

from tests.cli.conftest import refused
from tests.cli.real_files import make_folder, xlsx

CONVERTER = importlib.util.find_spec("markitdown") is not None
needs_converter = pytest.mark.skipif(not CONVERTER, reason="needs the extra 'files' (markitdown)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("files") / "docs", convertible=CONVERTER)


@pytest.fixture(scope="module")
def made(folder, models, tmp_path_factory):
    """The index of the folder, and what was said when it was made."""
    index = tmp_path_factory.mktemp("files-index") / "idx"
    return index, ("--index", index, "--corpus", folder, "--skip-bad", "--expert", f"one={models['bert']}")


def found(uec, index, query, *arguments):
    outcome = uec("search", "--index", index, query, "--json", *arguments)
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)["hits"]


def test_all_that_is_bad_is_listed_before_any_work(uec, folder, tmp_path):
    outcome = uec("index", "--index", tmp_path / "idx", "--corpus", folder, "--expert", "no-such-model")
    refused(outcome, "2 problems in", "bad/noise.txt: its encoding", "bad/torn.csv, line 2", "--skip-bad")
    assert not (tmp_path / "idx").exists()


def test_a_folder_is_indexed_and_searched(uec, made):
    index, arguments = made
    outcome = uec("-v", "index", *arguments)
    assert outcome.code == 0, outcome.err
    err = " ".join(outcome.err.split())
    for said in (
        "passed over: ", "2 hidden", "1 binary", "1 named in .gitignore", "1 to be indexed by itself (--corpus FILE)",
        "of no kind that is read (.png)", "passed over, binary: notes/really-a-zip.txt", "passed over, hidden: .secret.txt",
        "skipped 2 that cannot be read:", "bad/noise.txt", "bad/torn.csv",
        "skipped 1 documents without text: notes/empty.txt",
    ):  # fmt: skip
        assert said in err, err
    assert "to its maximal length" not in err
    assert CONVERTER or "7 to be had with pip install 'uec-retriever[files]'" in err
    again = json.loads(uec("index", *arguments, "--json").out)
    assert (again["added"], again["updated"]) == (0, 0) and again["unchanged"] == again["count"] > 80
    cost = json.loads(uec("index", *arguments, "--dry-run", "--json").out)
    assert (cost["texts"], cost["unchanged"]) == (0, again["count"])

    [end, *_] = found(uec, index, "zanzibar")
    assert end["metadata"]["document_id"] == "notes/long.txt"
    assert end["id"] == f"notes/long.txt#{end['metadata']['position']:04}" and end["text"].endswith(
        "zanzibar."
    )
    [fault, *_] = found(uec, index, "gearbox hums bracket", "--where", '{"path": "guides/gearbox.md"}')
    told = fault["metadata"]
    assert (
        told["title"] == "gearbox notes"
        and told["tags"] == ["gearbox", "care"]
        and told["date"] == "2024-03-02"
    )
    assert told["headings"] == "The gearbox > Faults" and told["modified"].endswith("+00:00")
    assert "tags:" not in " ".join(hit["text"] for hit in found(uec, index, "gearbox care tags", "-k", "80"))
    for query, identifier in (
        ("Größe Flügel später", "notes/windows.txt"), ("piñata", "notes/notepad.txt"), ("самолёта", "notes/russian.txt"),
        ("Mutter Flügel", "data/parts.csv"), ("washer", "data/more.tsv"), ("radiator oil", "notes/radiator.txt"),
    ):  # fmt: skip
        assert found(uec, index, query)[0]["id"] == identifier
    assert found(uec, index, "repair manifold")[0]["metadata"]["document_id"] == "manuals/manifold.rst"


@needs_converter
@pytest.mark.parametrize(
    ("query", "identifier", "title"),
    [
        ("hinge Größe", "web/a.html", "hinge page"),
        ("latch Größe", "web/b.htm", "latch page"),
        ("ailerons", "papers/report.pdf", None),
        ("fuselage", "papers/letter.docx", "Letter"),
        ("empennage", "papers/book.epub", "A Book"),
        ("rudder", "papers/slides.pptx", "Slides"),
        ("spoiler", "papers/sheet.xlsx", "Sheet"),
    ],
)
def test_documents_of_other_programs_are_found(uec, made, query, identifier, title):
    index, arguments = made
    if not index.exists():
        assert uec("index", *arguments).code == 0
    hit = found(uec, index, query)[0]
    assert hit["id"] == identifier and hit["metadata"].get("title") == title
    assert "alert" not in hit["text"] and "color" not in hit["text"]


@needs_converter
def test_damaged_and_exploding_documents_are_told(uec, tmp_path, monkeypatch):
    from uec_retriever.data.files import convert

    monkeypatch.setattr(convert, "_UNPACKED", 5_000)
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "ok.txt").write_text("fine")
    whole = xlsx([["a" * 10_000]])
    (docs / "bomb.xlsx").write_bytes(whole)
    (docs / "torn.docx").write_bytes(whole[:500])
    (docs / "fake.pdf").write_bytes(b"no pdf at all")
    (docs / "other.pptx").write_bytes(b"")
    outcome = uec("index", "--index", tmp_path / "idx", "--corpus", docs, "--expert", "none")
    refused(
        outcome, "problems in", "bomb.xlsx: it is", "MB when unpacked", "torn.docx: it is damaged", "fake.pdf"
    )


def test_types_are_told_and_can_be_given(uec, tmp_path, models):
    table = tmp_path / "films.csv"
    rows = "".join(
        f"{i};the {w} of heat;{1990 + i};00{i};2020-01-{i + 10}\n"
        for i, w in enumerate(["cat", "dog", "bird"] * 6)
    )
    table.write_text("id;text;year;code;seen\n" + rows)
    arguments = ("--corpus", table, "--expert", f"one={models['bert']}")
    outcome = uec("index", "--index", tmp_path / "a", *arguments)
    assert outcome.code == 0, outcome.err
    assert "types: year int, seen date; other columns are text (--types says otherwise)" in outcome.err
    where = ("--where", '{"year": {"$gte": 2000}}')
    assert {hit["metadata"]["year"] >= 2000 for hit in found(uec, tmp_path / "a", "cat", *where)} == {True}
    assert found(uec, tmp_path / "a", "cat", "--where", '{"code": "003"}')[0]["id"] == "3"
    told = uec("search", "--index", tmp_path / "a", "cat", "--where", '{"code": 3}')
    assert "'code' with 3, a number, and in the index it is text, such as '00" in " ".join(told.err.split())
    given = uec("index", "--index", tmp_path / "b", *arguments, "--types", "year=str, seen=day")
    assert given.code == 0 and "types:" not in given.err
    days = ("--where", '{"seen": {"$lt": 20200112}}')
    assert {hit["id"] for hit in found(uec, tmp_path / "b", "cat", *days)} == {"0", "1"}
    for types, words in (("year", "say KEY=TYPE"), ("year=integer", "no type 'integer'")):
        refused(uec("index", "--index", tmp_path / "c", *arguments, "--types", types), words, code=2)


def test_pieces_can_be_left_out_or_made_smaller(uec, tmp_path, models):
    book = tmp_path / "book.txt"
    book.write_text("The wing of the cat is small. " * 40)
    arguments = ("--corpus", book, "--expert", f"one={models['bert']}", "--json")
    told = [
        json.loads(uec("index", "--index", tmp_path / f"i{i}", *arguments, *more).out)
        for i, more in enumerate([(), ("--split-tokens", "20"), ("--no-split",)])
    ]
    assert [t["added"] for t in told] == [8, 20, 1]
    assert [t["truncated"] for t in told] == [{}, {}, {"one": 1}]
    refused(
        uec("index", "--index", tmp_path / "i0", *arguments, "--no-split", "--split-tokens", "20"),
        "--split-tokens would change nothing with --no-split",
        code=2,
    )
