"""Files of the lexical index: what is refused, damaged, full or read-only."""

import math
import os
import random
import shutil
import sqlite3

import pytest

from tests.store.lexical_corpus import K1, WORDS, B, corpus, filled
from uec_retriever.errors import (
    CorruptFileError,
    FormatVersionError,
    InvalidInputError,
    ModelMismatchError,
    NotAnIndexError,
    StorageError,
)
from uec_retriever.store.lexical import LexicalIndex, database, moment, place

# refusals


@pytest.mark.parametrize(
    ("put", "delete", "mark", "message"),
    [
        ({"x": ["y" * 256]}, [], "", "a term is 1 to 255 characters"),
        ({"x": [""]}, [], "", "a term is 1 to 255 characters"),
        ({"x": ["\ud800"]}, [], "", "without lone surrogates"),
        ({"x": [1]}, [], "", "the term 1"),
        ({"x": "text"}, [], "", "give a list of terms"),
        ({"\ud800": ["a"]}, [], "", "id must be a string without lone surrogates"),
        ({}, [None], "", "id must be a string"),
        ({}, [], 3, "mark must be a string"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_changed(words, put, delete, mark, message):
    words.change({"old": ["a"]}, [], "before")
    with pytest.raises(InvalidInputError, match=message):
        words.change({"new": ["a"], **put}, delete, mark)
    assert (words.ids(), words.mark) == (["old"], "before")


@pytest.mark.parametrize(
    "arguments",
    [({}, 0, K1, B), ({}, 1, -1, B), ({}, 1, K1, 2), ({"a": -1.0}, 1, K1, B), ({"a": math.nan}, 1, K1, B)],
)
def test_numbers_out_of_range_are_refused(words, arguments):
    with pytest.raises(InvalidInputError, match="must be"):
        words.search(*arguments)


def test_other_settings_are_refused(words_path):
    LexicalIndex.open(words_path, {"language": "it's; english", "n": 1}).close()
    LexicalIndex.open(words_path, {"n": 1, "language": "it's; english"}).close()
    with pytest.raises(ModelMismatchError, match="language.*not.*german.*have it rebuilt"):
        LexicalIndex.open(words_path, {"language": "german"})
    with pytest.raises(InvalidInputError, match="must be JSON"):
        LexicalIndex.open(None, {"x": object()})


def test_another_version_and_other_databases_are_refused(words_path, tmp_path):
    LexicalIndex.open(words_path, {}).close()
    rows = sqlite3.connect(words_path)
    rows.execute("PRAGMA user_version = 9")
    rows.close()
    with pytest.raises(FormatVersionError, match="format version 9"):
        LexicalIndex.open(words_path, {})
    rows = sqlite3.connect(tmp_path / "other")
    rows.execute("CREATE TABLE mine (x)")
    rows.close()
    with pytest.raises(NotAnIndexError, match="another database"):
        LexicalIndex.open(tmp_path / "other", {})


def test_a_closed_index_says_so(words):
    words.close()
    words.close()
    with pytest.raises(StorageError, match="closed"):
        words.ids()


# damage


@pytest.mark.parametrize("left", [1, 60, 5000, 0.5, 0.99])
def test_a_file_that_was_cut_is_refused(words_path, left):
    filled(words_path)
    size = words_path.stat().st_size
    os.truncate(words_path, int(left if left >= 1 else size * left))
    with pytest.raises(CorruptFileError, match="remove it and have it rebuilt"):
        LexicalIndex.open(words_path, {})
    LexicalIndex.remove(words_path)
    LexicalIndex.remove(words_path)
    with LexicalIndex.open(words_path, {}) as new:
        assert (new.ids(), new.mark) == ([], "")


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_told_as_such_or_does_no_harm(words_path, seed):
    """SQLite has no checksums: what fits its format can be read. Nothing but our errors may come of it."""
    filled(words_path)
    draw = random.Random(seed)
    content = bytearray(words_path.read_bytes())
    for _ in range(200):
        content[draw.randrange(100, len(content))] = draw.randrange(256)
    words_path.write_bytes(content)
    for call in (
        lambda i: i.search(dict.fromkeys(WORDS, 1.0), 400, K1, B),
        lambda i: i.frequencies(list(corpus(400)), WORDS),
        lambda i: i.change(corpus(400, 1), [], ""),
        lambda i: i.ids(),
    ):
        try:
            with LexicalIndex.open(words_path, {}) as index:
                call(index)
        except (CorruptFileError, FormatVersionError, NotAnIndexError, ModelMismatchError):
            pass


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE postings SET numbers = x'01'",
        "UPDATE postings SET tfs = x''",
        "UPDATE postings SET numbers = x'ffffffff', tfs = x'01'",
        "UPDATE lengths SET lengths = x''",
        "DELETE FROM documents",
        "DELETE FROM state",
        "DROP TABLE terms",
        "UPDATE documents SET terms = 3",
    ],
)
@pytest.mark.parametrize("whole", [0, moment.WHOLE], ids=["by parts", "as a whole"])
def test_parts_that_do_not_fit_are_told(words_path, statement, whole, monkeypatch):
    monkeypatch.setattr(moment, "WHOLE", whole)
    filled(words_path)
    rows = sqlite3.connect(words_path)
    with rows:
        rows.execute(statement)
    rows.close()
    with pytest.raises(CorruptFileError, match="damaged"), LexicalIndex.open(words_path, {}) as index:
        index.search(dict.fromkeys(WORDS, 1.0), 10, K1, B)
        index.change({}, list(corpus(400)), "")  # reads what a search as a whole does not


def test_a_file_removed_or_replaced_under_an_open_index_is_noticed(words_path, tmp_path):
    index = filled_open = LexicalIndex.open(words_path, {})
    index.change({"x": ["a"]}, [], "")
    LexicalIndex.open(tmp_path / "other", {}).close()
    os.replace(tmp_path / "other", words_path)
    with pytest.raises(CorruptFileError, match="replaced"):
        filled_open.search({"a": 1.0}, 1, K1, B)
    LexicalIndex.remove(words_path)
    with pytest.raises(CorruptFileError, match="removed"):
        index.change({"y": ["a"]}, [], "")
    index.close()


# disks and folders


def unwritable(patch):
    for module in (database, place):
        patch.setattr(module, "may_write", lambda _: False)


def test_a_full_disk_changes_nothing(words_path, monkeypatch):
    filled(words_path)
    connect = database.Database._connect

    def small(self):
        connection = connect(self)
        connection.execute("PRAGMA max_page_count = 1")  # as many as there are
        return connection

    monkeypatch.setattr(database.Database, "_connect", small)
    with LexicalIndex.open(words_path, {}) as index:
        before = index.search({"a": 1.0}, 5, K1, B)
        with pytest.raises(StorageError, match="the disk is full.*left as it was"):
            index.change(corpus(4000, 2), [], "after")
        assert (index.search({"a": 1.0}, 5, K1, B), index.mark) == (before, "done")


@pytest.mark.parametrize("leftover", [(), ("-wal",), ("-wal", "-shm")])
def test_a_read_only_folder_is_read(words_path, monkeypatch, tmp_path, leftover):
    """Whether everything was written back, or a kill left changes in the log."""
    with LexicalIndex.open(words_path, {}) as index:
        index.change(corpus(100), [], "done")
        found = index.search({"a": 1.0, "d": 1.0}, 5, K1, B)
        copied = tmp_path / "copy" / words_path.name
        copied.parent.mkdir()
        for suffix in ("", *leftover):
            shutil.copyfile(f"{words_path}{suffix}", f"{copied}{suffix}")
        if not leftover:
            index.close()
            shutil.copyfile(words_path, copied)
    unwritable(monkeypatch)
    before = {p.name: p.read_bytes() for p in copied.parent.iterdir() if not p.name.endswith("-shm")}
    with LexicalIndex.open(copied, {}) as index:
        for _ in range(2):
            assert (index.search({"a": 1.0, "d": 1.0}, 5, K1, B), index.mark) == (found, "done")
        with pytest.raises(StorageError, match="read-only"):
            index.change({}, ["id1"], "")
    assert {p.name: p.read_bytes() for p in copied.parent.iterdir() if not p.name.endswith("-shm")} == before


def test_a_folder_that_only_others_write_is_followed(words_path, monkeypatch):
    filled(words_path)
    with monkeypatch.context() as patch:
        unwritable(patch)
        reader = LexicalIndex.open(words_path, {})
    assert reader.mark == "done"
    with LexicalIndex.open(words_path, {}) as writer:
        writer.change({"new": ["a"] * 1000}, [], "more")
    assert reader.mark == "more"
    assert reader.search({"a": 1.0}, 1, K1, 0)[0][0] == "new"
    reader.close()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot open"):
        LexicalIndex.open(tmp_path / "file" / "words", {})
