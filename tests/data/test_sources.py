import gzip
import io
import json
import os
import threading
from types import SimpleNamespace

import pytest

from uec_retriever.data import sources
from uec_retriever.data.corpus import Columns, Corpus, read_queries
from uec_retriever.errors import CorpusError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = [{"_id": f"d{i}", "title": f"title {i}", "text": f"text, {i}"} for i in range(5)]


def table(delimiter):
    return "".join(
        delimiter.join(f'"{value}"' for value in row) + "\n"
        for row in [list(ROWS[0]), *(row.values() for row in ROWS)]
    ).encode()


def packed_table():
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
    return file.getvalue()


FORMATS = {
    ".jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    ".csv": table(","),
    ".tsv": table("\t"),
    ".parquet": packed_table(),
}


@pytest.fixture
def give_input(monkeypatch):
    def give(data):
        sources._keep.cache_clear()
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    yield give
    sources._keep.cache_clear()
    for kept in sources._kept:
        kept.close()
    sources._kept.clear()


def ids(corpus):
    return [(document.record.id, document.body) for document in corpus]


EXPECTED = [(row["_id"], row["text"]) for row in ROWS]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("ending", [".gz", ".GZ"])
def test_gzip_of_every_format(tmp_path, suffix, ending):
    path = tmp_path / f"c{suffix}{ending}"
    path.write_bytes(gzip.compress(FORMATS[suffix]))
    corpus = Corpus(path)
    assert ids(corpus) == ids(corpus) == EXPECTED


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_of_every_format_twice(give_input, suffix, pack):
    give_input(pack(FORMATS[suffix]))
    corpus = Corpus(sources.STANDARD_INPUT, suffix=suffix)
    assert ids(corpus) == ids(corpus) == EXPECTED


def test_a_pipe_is_read_as_often_as_needed(tmp_path):
    """As `<(...)` is one."""
    pipe = tmp_path / "corpus.jsonl"
    os.mkfifo(pipe)
    content = "".join(json.dumps(row) + "\n" for row in ROWS)
    writer = threading.Thread(target=pipe.write_text, args=(content,))
    writer.start()
    corpus = Corpus(pipe)
    assert [[d.record.id for d in corpus] for _ in range(2)] == [["d0", "d1", "d2", "d3", "d4"]] * 2
    writer.join()


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(CorpusError, match="standard input is closed"):
        list(Corpus(sources.STANDARD_INPUT))


def test_standard_input_is_jsonl_unless_told(give_input):
    give_input(FORMATS[".jsonl"])
    assert ids(Corpus(sources.STANDARD_INPUT)) == EXPECTED
    assert [text for _, text in read_queries(sources.STANDARD_INPUT)] == [row["text"] for row in ROWS]
    give_input(b"{")
    with pytest.raises(CorpusError, match="standard input, line 1"):
        ids(Corpus(sources.STANDARD_INPUT))


def test_a_beir_folder_with_a_packed_corpus(tmp_path):
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(FORMATS[".jsonl"]))
    assert ids(Corpus(tmp_path)) == EXPECTED


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_gzip_is_said(tmp_path, suffix):
    path = tmp_path / f"c{suffix}.gz"
    whole = gzip.compress(FORMATS[suffix] * 2)
    for data in (whole[: len(whole) // 2], whole[:20] + b"\x00\xff" * 20 + whole[60:]):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match="damaged or cut off"):
            ids(Corpus(path))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("wrong", ["text", "title", "id"])
def test_a_mistyped_column_is_refused_naming_those_there_are(tmp_path, suffix, wrong):
    path = tmp_path / f"c{suffix}"
    path.write_bytes(FORMATS[suffix])
    with pytest.raises(CorpusError, match=r"'tilte'.*'title'.*--(text|title|id)-column"):
        ids(Corpus(path, Columns(**{wrong: "tilte"})))
    assert ids(Corpus(path, Columns("title", "text", "_id")))


def test_titles_alone_are_texts_only_if_asked_for(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"_id": "1", "title": "only"}\n')
    with pytest.raises(CorpusError, match="--text-column"):
        ids(Corpus(path))
    assert ids(Corpus(path, Columns(text="title"))) == [("1", "only")]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.csv.gz"])
def test_a_line_without_end_is_never_loaded(tmp_path, name, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST_LINE", 2**20)
    data = b"text\n" * (name != "t.jsonl") + b"x" * 2**23
    (tmp_path / name).write_bytes(gzip.compress(data))
    with pytest.raises(CorpusError, match="has a line of more than 1 million characters"):
        list(Corpus(tmp_path / name))
