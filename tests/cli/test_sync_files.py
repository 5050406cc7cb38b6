"""`uec index --sync` of a folder deletes what is gone, and never what is there and was only not read."""

import json
import shutil

import pytest

from tests.cli.conftest import WORDS, refused
from uec_retriever.data.files import folder as reading
from uec_retriever.data.files.unread import Unread
from uec_retriever.engine.engine import Engine

LONG = "the flow of heat and a layer. " * 60


@pytest.fixture(scope="module")
def made(models, tmp_path_factory):
    """A folder of files and its index, which nobody may change."""
    base = tmp_path_factory.mktemp("sync-files")
    docs = base / "docs"
    (docs / "deep").mkdir(parents=True)
    for i in range(12):
        (docs / f"{i}.txt").write_text(f"The {WORDS[i]} of the {WORDS[i + 1]}.")
    (docs / "deep" / "a.txt").write_text("a deep one")
    (docs / "long.txt").write_text(LONG)
    (docs / "page.html").write_text("<p>a page of red pressure</p>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["uec", "index", *arguments(base), "--expert", models["bert"]])
        from uec_retriever.cli import main

        patch.setattr(reading, "can_convert", lambda: True)
        patch.setattr(reading, "convert", lambda data, suffix: ("a page of red pressure", ""))
        with pytest.raises(SystemExit) as stop:
            main()
            raise SystemExit(0)
        assert not stop.value.code
    return base


def arguments(base):
    return ["--index", str(base / "idx"), "--corpus", str(base / "docs"), "--split-tokens", "16"]


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "can_convert", lambda: True)
    monkeypatch.setattr(reading, "convert", lambda data, suffix: ("a page of red pressure", ""))
    return shutil.copytree(made, tmp_path / "copy")


def documents(base):
    with Engine.open(base / "idx") as engine:
        return {identifier.partition("#")[0] for identifier in engine.ids()}


def no_converter(base, monkeypatch):
    monkeypatch.setattr(reading, "can_convert", lambda: False)
    return "page.html"


def binary(base, monkeypatch):
    (base / "docs" / "long.txt").write_bytes(b"\0\1\2binary")
    return "long.txt"


def too_large(base, monkeypatch):
    monkeypatch.setattr(reading, "_LARGEST", 1_000)
    return "long.txt"


def dangling(base, monkeypatch):
    (base / "docs" / "0.txt").unlink()
    (base / "docs" / "0.txt").symlink_to(base / "docs" / "unmounted.txt")
    return "0.txt"


def linked_out(base, monkeypatch):
    (base / "docs" / "0.txt").rename(base / "0.txt")
    (base / "docs" / "0.txt").symlink_to(base / "0.txt")
    return "0.txt"


def linked_folder(base, monkeypatch):
    shutil.move(base / "docs" / "deep", base / "elsewhere")
    (base / "docs" / "deep").symlink_to(base / "elsewhere", target_is_directory=True)
    return "deep/a.txt"


def folder_on_loan(base, monkeypatch):
    shutil.rmtree(base / "docs" / "deep")
    (base / "docs" / "deep").symlink_to(base / "docs" / "unmounted", target_is_directory=True)
    return "deep/a.txt"


@pytest.mark.parametrize(
    "spoil", [no_converter, binary, too_large, dangling, linked_out, linked_folder, folder_on_loan]
)
def test_what_was_only_not_read_stays_and_is_told(uec, there, monkeypatch, spoil):
    before = documents(there)
    stays = spoil(there, monkeypatch)
    (there / "docs" / "1.txt").unlink()
    would = json.loads(uec("index", *arguments(there), "--sync", "--dry-run", "--json").out)
    assert would["absent_ids"] == ["1.txt"] and would["kept"] >= 1
    outcome = uec("index", *arguments(there), "--sync")
    assert outcome.code == 0, outcome.err
    assert documents(there) == before - {"1.txt"}
    assert "stay as they are, as their files are there and were not read: " + stays in " ".join(
        outcome.err.split()
    )


def test_what_is_hidden_ignored_or_gone_is_deleted(uec, there):
    before = documents(there)
    docs = there / "docs"
    (docs / ".gitignore").write_text("deep/\n")
    (docs / "2.txt").rename(docs / ".2.txt")
    (docs / "3.txt").unlink()
    (docs / "long.txt").unlink()
    told = json.loads(uec("index", *arguments(there), "--sync", "--json").out)
    assert documents(there) == before - {"deep/a.txt", "2.txt", "3.txt", "long.txt"}
    assert (told["kept"], told["kept_ids"]) == (0, [])


def test_bad_files_keep_their_texts_when_they_are_skipped(uec, there, corpus):
    before = documents(there)
    (there / "docs" / "long.txt").write_bytes(b"\xff\xfea" + b"\xd8\x00\xd8")
    (there / "docs" / "1.txt").unlink()
    refused(uec("index", *arguments(there), "--sync"), "encoding cannot be told")
    assert documents(there) == before
    assert uec("index", *arguments(there), "--sync", "--skip-bad").code == 0
    assert documents(there) == before - {"1.txt"}
    rows = ("--index", there / "idx", "--corpus", corpus(9), "--sync", "--skip-bad")
    refused(uec("index", *rows), "rows that cannot be read", code=2)


def test_which_ids_an_unread_file_or_folder_may_have():
    unread = Unread()
    assert not unread.holds("a.md")
    for name in ("a.md", "deep/sub/", "b#0001"):
        unread.add(name)
    held = ["a.md", "a.md#0003", "a.md#12345", "deep/sub/x.md", "deep/sub/y/z.md#0000", "b#0001"]
    gone = ["a.mdx", "a.md#3", "x/a.md", "deep/x.md", "deep/subs/x.md", "b", "b#0002"]
    assert [i for i in [*held, *gone] if unread.holds(i)] == held
    unread.clear()
    assert not unread.holds("a.md")
