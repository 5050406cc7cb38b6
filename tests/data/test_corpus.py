import json
import os

import pytest

from uec_retriever.data.corpus import Columns, Corpus, read_pairs, read_queries
from uec_retriever.errors import CorpusError, InvalidInputError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write_jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def records(corpus):
    return [(d.record.id, d.record.text, d.record.metadata) for d in corpus]


def test_beir_line_becomes_title_and_text_with_flat_metadata(tmp_path):
    path = write_jsonl(
        tmp_path / "corpus.jsonl",
        {"_id": "a", "title": "Wings", "text": "Lift and drag.", "metadata": {"group": "g", "none": None}},
        {"_id": "b", "title": "", "text": "No title.", "metadata": {}},
    )
    expected = [("a", "Wings Lift and drag.", {"title": "Wings", "group": "g"}), ("b", "No title.", {})]
    assert records(Corpus(path)) == expected
    assert records(Corpus(tmp_path)) == expected  # the folder of the file
    [first, second] = Corpus(path)
    assert (first.title, first.body) == ("Wings", "Lift and drag.")


def test_a_corpus_can_be_read_twice_and_notes_empty_documents(tmp_path):
    corpus = Corpus(
        write_jsonl(tmp_path / "c.jsonl", {"_id": "a", "text": "x"}, {"_id": "471", "title": "", "text": " "})
    )
    assert records(corpus) == records(corpus) == [("a", "x", {})]
    assert corpus.skipped == ["471"]


def test_ids_are_optional_and_numbers_become_strings(tmp_path):
    corpus = Corpus(write_jsonl(tmp_path / "c.jsonl", {"text": "x"}, {"text": "x"}, {"id": 7, "text": "y"}))
    [first, again, numbered] = records(corpus)
    assert first[0] == again[0] and len(first[0]) == 32
    assert numbered == ("7", "y", {})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json}", "line 2.*not JSON"),
        ('{"_id": "b", "text": "torn', "line 2.*not JSON"),
        ("[1, 2]", "line 2.*list, not a JSON object"),
        ('{"_id": "b", "text": 5}', "line 2.*'text' is int"),
        ('{"_id": "b", "text": "x", "metadata": [1]}', "line 2.*'metadata' is list"),
        (
            '{"_id": "b", "text": "x", "metadata": {"k": [{"deep": 1}]}}',
            "line 2.*metadata of 'b', key 'k'.*json.dumps",
        ),
        ('{"_id": "b", "text": "x", "a": {"b": [[1]]}}', "line 2.*metadata of 'b', key 'a.b'.*lists"),
        ('{"_id": "b", "text": "x", "metadata": {"uec:v": "y"}}', "line 2.*reserved"),
        ('{"_id": "b", "text": "\\ud800 x"}', "line 2.*lone surrogate"),
        ('{"_id": "b", "text": "a\\u0000b"}', "line 2.*NUL"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "c.jsonl"
    path.write_text('{"_id": "a", "text": "good"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        list(Corpus(path))


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"text": "caf\xe9"}\n')
    with pytest.raises(CorpusError, match="line 1.*UTF-8"):
        list(Corpus(path))


def test_folder_of_text_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.md").write_text("# Heading\n\nBody", encoding="utf-8")
    (tmp_path / "deep" / "a.TXT").write_text("plain", encoding="utf-8")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    for file in tmp_path.rglob("*.*"):
        os.utime(file, (1.5e9, 1.5e9))
    told = {"modified": "2017-07-14T02:40:00+00:00"}
    assert records(Corpus(tmp_path)) == [
        ("b.md", "# Heading\n\nBody", {"path": "b.md", "title": "Heading", **told}),
        ("deep/a.TXT", "plain", {"path": "deep/a.TXT", **told}),
    ]


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_csv_with_named_columns(tmp_path, suffix, delimiter):
    path = tmp_path / f"c{suffix}"
    quoted = f'"two\nlines{delimiter} one text"'
    rows = [["key", "body", "year"], ["k1", quoted, "2001"], ["k2", "other", ""]]
    path.write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8")
    corpus = Corpus(path, Columns(text="body", id="key"))
    assert records(corpus) == [
        ("k1", f"two\nlines{delimiter} one text", {"year": 2001}),
        ("k2", "other", {}),
    ]
    with pytest.raises(CorpusError, match=r"no column 'text'.*'body'.*--text-column"):
        list(Corpus(path))


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_columns_of_any_csv_are_told_one_by_one(tmp_path, separator):
    path = tmp_path / "bom.csv"
    path.write_text(separator.join(("id", "name", "price, EUR", "date")) + "\n", encoding="utf-8-sig")
    with pytest.raises(CorpusError, match=r"no column 'text', only \['id', 'name', 'price, EUR', 'date'\]"):
        list(Corpus(path))


@pytest.mark.parametrize(
    "row", ['{"id": 1, "body": "some text"}', '{"id": 1, "title": "a title", "body": "b"}']
)
def test_keys_that_no_object_has_are_named(tmp_path, row):
    """Not that the corpus is empty."""
    path = tmp_path / "c.jsonl"
    path.write_text(row)
    with pytest.raises(CorpusError, match=r"no document of .* has 'text', only \[.*'body'.*--text-column"):
        list(Corpus(path))
    with pytest.raises(CorpusError, match=r"has 'txt', only .*'body'"):
        list(Corpus(path, Columns("txt")))
    path.write_text('{"text": " "}')
    with pytest.raises(CorpusError, match="is empty: it holds no text"):
        list(Corpus(path))


def test_csv_with_too_many_values_is_refused(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("text\nfine\none, two\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 3"):
        list(Corpus(path))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('_id,text\n1,one\n2,"open\n3,three\n', "line 3"),
        ('_id,text\n1,one\n\n2,"two\nlines"\n3,"open\n4,"four"\n', "line 6"),
        ('_id,text\n1,"one" and more\n', "line 2"),
        ('"_id,text\n1,one\n', "line 1"),
    ],
)
def test_a_csv_with_an_unclosed_quote_is_refused(tmp_path, content, line):
    path = tmp_path / "c.csv"
    path.write_text(content)
    with pytest.raises(CorpusError, match=f"{line}: the row that begins there has a quote"):
        records(Corpus(path))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("_id,text,text", r"line 1: several columns are called \['text'\]"),
        ("_id,a,a,text", r"several columns are called \['a'\]"),
        (",text", "column 1 has no name: give it one, or leave it out"),
    ],
)
def test_a_csv_whose_columns_cannot_be_told_apart_is_refused(tmp_path, head, words):
    path = tmp_path / "c.csv"
    path.write_text(f"{head}\n1,one,two,three\n")
    with pytest.raises(CorpusError, match=words):
        records(Corpus(path))


def test_csv_rows_may_be_short_or_blank(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text('_id,text,n\n1,"a ""b"""\n\n2,two,\n')
    assert records(Corpus(path)) == [("1", 'a "b"', {}), ("2", "two", {})]


def test_parquet_columns_of_one_name_are_refused(tmp_path):
    table = pa.table([pa.array(["one"]), pa.array(["two"])], names=["text", "text"])
    parquet.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(CorpusError, match=r"several columns are called \['text'\]"):
        records(Corpus(tmp_path / "c.parquet"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.jsonl", ""),
        ("c.jsonl", "\n \n"),
        ("c.jsonl", '{"_id": "1", "text": " "}\n'),
        ("c.csv", "_id,text\n"),
        ("c.csv", "_id,text\n1,\n"),
    ],
)
def test_a_corpus_without_any_text_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(CorpusError, match=r"the corpus .*c\.\w+ is empty: it holds no text"):
        records(Corpus(path))


def test_numbers_and_brackets_that_python_cannot_read_are_named(tmp_path):
    path = tmp_path / "c.jsonl"
    for value, words in (
        ("1" * 5000, "an integer of more than 4300 digits"),
        ("[" * 5000, "within each other"),
    ):
        path.write_text(f'{{"text": "fine"}}\n{{"text": "a", "n": {value}}}\n')
        with pytest.raises(CorpusError, match=f"line 2: .*{words}"):
            records(Corpus(path))


def test_parquet_keeps_types_and_lists(tmp_path):
    path = tmp_path / "c.parquet"
    rows = [
        {"_id": "a", "text": "x", "year": 2001, "tags": ["u", "v"]},
        {"_id": "b", "text": "y", "year": None, "tags": []},
    ]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    assert records(Corpus(path)) == [("a", "x", {"year": 2001, "tags": ["u", "v"]}), ("b", "y", {})]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CorpusError, match="no readable Parquet"):
        list(Corpus(path))


def test_unknown_kinds_of_corpus(tmp_path):
    with pytest.raises(CorpusError, match="no corpus at"):
        list(Corpus(tmp_path / "absent.jsonl"))
    (tmp_path / "c.odt").write_bytes(b"x")
    with pytest.raises(CorpusError, match=r"c.odt: give a .jsonl"):
        list(Corpus(tmp_path / "c.odt"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        CorpusError, match="empty is empty: it holds no text in text, Markdown.*and no corpus.jsonl"
    ):
        list(Corpus(tmp_path / "empty"))


def test_queries_and_pairs(tmp_path):
    queries = write_jsonl(tmp_path / "queries.jsonl", {"_id": "q1", "text": "what?"})
    assert list(read_queries(queries)) == list(read_queries(tmp_path)) == [("q1", "what?")]
    for row, message in (
        ({"_id": "q 1", "text": "x"}, "space"),
        ({"text": "x"}, "'_id' is missing"),
        ({"_id": "q", "text": ""}, "empty"),
    ):
        with pytest.raises(CorpusError, match=message):
            list(read_queries(write_jsonl(tmp_path / "bad.jsonl", row)))
    pairs = write_jsonl(
        tmp_path / "pairs.jsonl", *({"query": f"q {i}", "positive": f"p {i}"} for i in range(16))
    )
    assert read_pairs(pairs).positives[15] == "p 15"
    with pytest.raises(CorpusError, match="line 1.*'positive' is NoneType"):
        read_pairs(write_jsonl(tmp_path / "bad.jsonl", {"query": "x"}))
    with pytest.raises(InvalidInputError, match="too few"):
        read_pairs(write_jsonl(tmp_path / "few.jsonl", {"query": "x", "positive": "y"}))


@pytest.mark.data
def test_every_retrieval_collection_can_be_read(collections):
    folders = sorted(p.parent for p in collections.glob("*/corpus.jsonl"))
    assert len(folders) >= 10
    for folder in folders:
        corpus = Corpus(folder)
        ids = [d.record.id for d in corpus]
        lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").count("\n")
        assert len(set(ids)) == len(ids) == lines - len(corpus.skipped)
        assert len(list(read_queries(folder))) > 0


@pytest.mark.parametrize(
    "name, content, option",
    [("c.csv", "{},b\n1,2\n", "text"), ("c.jsonl", '{{"{}": 1, "text": "a"}}\n', "title")],
)
def test_long_names_are_shown_in_part(tmp_path, name, content, option):
    path = tmp_path / name
    path.write_text(content.format("x" * 9000))
    with pytest.raises(CorpusError, match="xxx") as raised:
        list(Corpus(path, Columns(**{option: "y" * 9000})))
    assert len(str(raised.value)) < 1000
