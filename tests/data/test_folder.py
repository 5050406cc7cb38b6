"""Folders of files: what is read of them, what is passed over and why, what is bad."""

import gzip
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from uec_retriever.data.corpus import Corpus
from uec_retriever.data.files import folder
from uec_retriever.data.problems import describe
from uec_retriever.errors import CorpusError

LATIN = "Die Größe des Flügels".encode("cp1252")


def write(base, **files):
    """Files by name, `__` for `/` and `_` for `.`, of bytes or a text."""
    for name, content in files.items():
        path = base / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return base


def texts(corpus):
    return {d.record.id: d.record.text for d in corpus}


def test_texts_of_many_kinds_and_encodings_with_where_they_are_from(tmp_path):
    write(
        tmp_path,
        a_txt=LATIN,
        b_markdown="\ufeff---\ntitle: Of wings\ntags: [x, y]\ndate: 2024-03-01\nby:\n  name: Ann\n---\n\nThey lift.",
        c_md="+++\nweight = 3\n+++\n# First\n\nbody",
        d_rst="Title\n=====\n\nbody",
        e_md="plain --- text".encode("utf-16"),
        deep__f_csv="name;price\nbolt;1,20\nnut;0,30\n",
    )
    os.utime(tmp_path / "a.txt", (0, 1_700_000_000))
    found = {d.record.id: d.record for d in Corpus(tmp_path)}
    assert {name: record.text for name, record in found.items()} == {
        "a.txt": "Die Größe des Flügels",
        "b.markdown": "Of wings\n\nThey lift.",
        "c.md": "# First\n\nbody",
        "d.rst": "Title\n=====\n\nbody",
        "e.md": "plain --- text",
        "deep/f.csv": "name: bolt\nprice: 1,20\n\nname: nut\nprice: 0,30",
    }
    assert found["a.txt"].metadata == {"path": "a.txt", "modified": "2023-11-14T22:13:20+00:00"}
    told = {key: value for key, value in found["b.markdown"].metadata.items() if key != "modified"}
    assert told == {
        "title": "Of wings", "tags": ["x", "y"], "date": "2024-03-01", "by.name": "Ann", "path": "b.markdown",
    }  # fmt: skip
    assert [found[name].metadata.get("title") for name in ("c.md", "d.rst", "e.md")] == [
        "First",
        "Title",
        None,
    ]
    assert found["c.md"].metadata["weight"] == 3


def test_what_is_passed_over_is_told_by_reason(tmp_path):
    write(
        tmp_path, good_txt="text", _hidden_txt="x", _git__config_txt="x", picture_png=b"\x89PNG\0", Makefile="all:",
        binary_txt=b"PK\x03\x04\0\0\0", rows_jsonl="{}", rows_csv_gz=b"",
    )  # fmt: skip
    (tmp_path / "link.txt").symlink_to("good.txt")
    (tmp_path / "up").symlink_to("..", target_is_directory=True)
    (tmp_path / "gone.txt").symlink_to("nowhere.txt")
    (tmp_path / "self.txt").symlink_to("self.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    corpus = Corpus(tmp_path, skip_bad=True)
    assert texts(corpus) == {"good.txt": "text", "link.txt": "text"}
    assert corpus.passed_over == {
        "hidden": [".git/", ".hidden.txt"],
        "of no kind that is read (.png)": ["picture.png"],
        "of no kind that is read (no suffix)": ["Makefile"],
        "binary": ["binary.txt"],
        "to be indexed by itself (--corpus FILE)": ["rows.csv.gz", "rows.jsonl"],
        "link to a folder": ["up"],
        "link to nothing": ["gone.txt", "self.txt"],
        "of no regular kind": ["pipe.txt"],
    }
    assert corpus.bad == []
    told = describe(corpus.passed_over)
    assert told.startswith("2 hidden, 2 of no kind that is read (no suffix, .png), 2 link to nothing")


def test_no_link_leads_out_of_the_folder(tmp_path):
    base = write(tmp_path / "docs", a_txt="in", sub__b_txt="in too")
    write(tmp_path, secret_txt="out", docs_old__c_txt="out, though its path begins alike")
    base.joinpath("sub", "up.txt").symlink_to("../a.txt")
    base.joinpath("whole.txt").symlink_to(base / "sub" / "b.txt")
    base.joinpath("far.txt").symlink_to(tmp_path / "secret.txt")
    base.joinpath("sub", "near.txt").symlink_to("../../secret.txt")
    base.joinpath("alike.txt").symlink_to(tmp_path / "docs.old" / "c.txt")
    base.joinpath("via.txt").symlink_to("far.txt")
    (tmp_path / "other").symlink_to("docs", target_is_directory=True)
    for top in (base, tmp_path / "other"):
        corpus = Corpus(top)
        assert sorted(texts(corpus)) == ["a.txt", "sub/b.txt", "sub/up.txt", "whole.txt"]
        out = ["alike.txt", "far.txt", "sub/near.txt", "via.txt"]
        assert corpus.passed_over == {"link out of the folder": out}


def test_gitignore_is_honoured_as_git_does(tmp_path):
    write(
        tmp_path, _gitignore="build/\n*.log.txt\n/top.txt\ndocs/**/draft.md\n", build__a_txt="x", a_log_txt="x",
        top_txt="x", sub__top_txt="kept", docs__deep__draft_md="x", docs__kept_md="kept",
        sub___gitignore="!b.log.txt\nown.txt\n", sub__b_log_txt="kept", sub__own_txt="x", sub__c_log_txt="x",
    )  # fmt: skip
    corpus = Corpus(tmp_path)
    assert sorted(texts(corpus)) == ["docs/kept.md", "sub/b.log.txt", "sub/top.txt"]
    assert corpus.passed_over["named in .gitignore"] == [
        "a.log.txt", "build/", "docs/deep/draft.md", "sub/c.log.txt", "sub/own.txt", "top.txt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["!", "\\", "a\\", "!\\", "x/\\", "[z-a]", "[", "a[", "[]", "[[:odd:]]", "/", "//", "**", "", "\0"],
)
def test_a_line_of_gitignore_that_is_no_rule_is_passed_over(tmp_path, line):
    write(tmp_path, _gitignore=f"first.txt\n{line}\nlast.txt\n", first_txt="x", last_txt="x", kept_txt="x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".gitignore").write_text(f"{line}\n")
    found = set() if line == "**" else {"kept.txt"}
    assert {file.name for file in folder.Folder(tmp_path)} == found


def test_all_that_is_bad_is_told_at_once_or_passed_over(tmp_path):
    unknown = b"\xff\xfea" + b"\xd8\x00\xd8"
    write(tmp_path, a_txt="good", b_txt=unknown, c_csv='a,b\n"open,1\n', d_csv="a,a\n1,2\n", e_md="good too")
    with pytest.raises(CorpusError) as raised:
        texts(Corpus(tmp_path))
    first, *lines = str(raised.value).splitlines()
    assert first.startswith("3 problems in") and "--skip-bad" in first
    assert [line.split(":")[0] for line in lines] == ["  b.txt", "  c.csv, line 2", "  d.csv, line 1"]
    assert "encoding cannot be told" in lines[0] and "quote that is not closed" in lines[1]
    corpus = Corpus(tmp_path, skip_bad=True)
    assert sorted(texts(corpus)) == ["a.txt", "e.md"] and len(corpus.bad) == 3
    for name in "bcd":
        for path in tmp_path.glob(f"{name}.*"):
            path.write_text("mended\n1\n")
    assert len(texts(corpus)) == 5 and corpus.bad == []


def test_bad_lines_of_a_file_are_told_at_once(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n{\n{"text": 5}\n{"text": "b"}\n' + "[]\n" * 40)
    with pytest.raises(CorpusError, match=r"(?s)42 problems in.*line 2.*line 3: 'text' is int.*and 22 more"):
        texts(Corpus(tmp_path / "c.jsonl"))
    assert list(texts(Corpus(tmp_path / "c.jsonl", skip_bad=True)).values()) == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_bad(tmp_path):
    write(tmp_path, a_txt="x", b_txt="y")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(CorpusError, match="a.txt: Permission denied"):
        texts(Corpus(tmp_path))


def test_a_file_that_vanishes_or_fails_is_bad(tmp_path, monkeypatch):
    write(tmp_path, a_txt="x", b_txt="y")
    monkeypatch.setattr(
        folder, "decode", lambda data, **_: (_ for _ in ()).throw(OSError(5, "Input/output error"))
    )
    with pytest.raises(CorpusError, match=r"(?s)a.txt: Input/output error.*b.txt: Input/output"):
        texts(Corpus(tmp_path))


def test_a_very_large_file_is_never_loaded(tmp_path):
    write(tmp_path, a_txt="x", large_txt="y")
    os.truncate(tmp_path / "large.txt", folder._LARGEST + 1)
    corpus = Corpus(tmp_path)
    assert texts(corpus) == {"a.txt": "x"}
    assert corpus.passed_over == {"larger than 256 MB": ["large.txt"]}


def test_front_matter_that_cannot_be_read_stays_with_one_warning(tmp_path, caplog):
    write(tmp_path, a_md="---\ntitle: a: b: c\n---\nbody", b_md="---\njust words\n---\nbody")
    corpus = Corpus(tmp_path)
    for _ in range(2):
        assert all(text.startswith("---\n") for text in texts(corpus).values())
    [record] = caplog.records
    assert "a.md: its front matter cannot be read" in record.message


def test_front_matter_that_metadata_cannot_hold_becomes_json(tmp_path):
    write(tmp_path, a_md='---\nmenu:\n- {name: x, weight: 1}\nold: [[1]]\nempty:\nmixed: [1, "a"]\n---\nbody')
    [document] = Corpus(tmp_path)
    told = {k: v for k, v in document.record.metadata.items() if k not in ("path", "modified")}
    assert told == {"menu": '[{"name": "x", "weight": 1}]', "old": "[[1]]", "mixed": '[1, "a"]'}


@pytest.mark.parametrize("name", ["book.txt", "book.md", "book.rst"])
def test_one_file_is_a_corpus_too(tmp_path, name):
    (tmp_path / name).write_text("All of it.")
    assert texts(Corpus(tmp_path / name)) == {name: "All of it."}


def test_a_folder_without_texts_says_what_it_has(tmp_path):
    write(tmp_path, a_png="x", b_png="x", _hidden="x")
    with pytest.raises(
        CorpusError, match=r"is empty.*passed over: 2 of no kind that is read \(.png\), 1 hidden"
    ):
        texts(Corpus(tmp_path))


def test_documents_of_other_programs_need_an_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "can_convert", lambda: False)
    write(tmp_path, a_txt="x", b_pdf=b"%PDF", c_html="<p>x", d_docx=b"PK")
    corpus = Corpus(tmp_path)
    assert texts(corpus) == {"a.txt": "x"}
    assert describe(corpus.passed_over) == "3 to be had with pip install 'uec-retriever[files]'"


def test_folders_may_be_nested_ever_so_deep(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    for _ in range(1_200):
        os.mkdir("d")
        os.chdir("d")
    with open("a.txt", "w") as file:
        file.write("deep down")
    os.chdir(tmp_path)
    try:
        assert list(texts(Corpus(Path("docs"))).values()) == ["deep down"]
    finally:  # which pytest does by recursion
        os.rename("docs", "old")
        for _ in range(1_200):
            os.rename("old/d", "next")
            shutil.rmtree("old")
            os.rename("next", "old")


@pytest.mark.skipif(sys.platform != "linux", reason="others refuse such names")
def test_names_that_are_no_utf8_are_bad_and_passed_over(tmp_path):
    write(
        tmp_path,
        a_txt="good",
        **{"_\udcff_txt": "hidden", "b\udcff_txt": "x", "c\udcff__d_txt": "y", "e\udcff_png": "z"},
    )
    with pytest.raises(CorpusError, match="2 problems") as raised:
        texts(Corpus(tmp_path))
    assert str(raised.value).encode().decode().count(": its name is not in UTF-8: rename it") == 2
    corpus = Corpus(tmp_path, skip_bad=True)
    assert texts(corpus) == {"a.txt": "good"}
    assert corpus.bad[0].startswith("b\N{REPLACEMENT CHARACTER}.txt:") and len(corpus.passed_over) == 2
    json.dumps([corpus.bad, corpus.passed_over], ensure_ascii=False).encode()
    with pytest.raises(CorpusError, match="rename it"):
        texts(Corpus(tmp_path / "b\udcff.txt"))


def test_a_packed_table_is_no_larger_than_another(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_LARGEST", 2**20)
    rows = b"a,b\n" + b"x,y\n" * 2**19
    write(tmp_path, a_txt="x", small_csv=gzip.compress(rows[:2_000]), t_csv=gzip.compress(rows))
    corpus = Corpus(tmp_path, skip_bad=True)
    assert sorted(texts(corpus)) == ["a.txt", "small.csv"]
    assert corpus.bad == ["t.csv: it is more than 1 MB when unpacked: split it"] and corpus.may_hold("t.csv")


def test_bad_rows_of_a_table_are_all_told_and_passed_over_alone(tmp_path):
    write(tmp_path, t_csv="text,a\nx,1\ny,1,2\nz,3\ny,1,2,3\n")
    for path, expected in ((tmp_path, ["text: x\na: 1\n\ntext: z\na: 3"]), (tmp_path / "t.csv", ["x", "z"])):
        with pytest.raises(
            CorpusError, match=r"(?s)2 problems.*t.csv, line 3: more values.*line 5: more values"
        ):
            texts(Corpus(path))
        corpus = Corpus(path, skip_bad=True)
        for _ in range(2):
            assert list(texts(corpus).values()) == expected and len(corpus.bad) == 2
