"""Front matter as metadata: what it says is kept as it says it, and nothing in it breaks the reading."""

import subprocess
import sys

import pytest

from uec_retriever.data.corpus import Corpus
from uec_retriever.data.files.front import front_metadata, take_front_matter
from uec_retriever.errors import CorpusError


def read(path, front, mark="---"):
    """Metadata and text of a file with that front matter, but for what every file has."""
    (path / "a.md").write_text(f"{mark}\n{front}\n{mark}\nbody")
    [document] = Corpus(path)
    found = {k: v for k, v in document.record.metadata.items() if k not in ("path", "modified")}
    return found, document.record.text


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.10", "1.10"),
        ("2.50", "2.50"),
        ("1.1", 1.1),
        ("1.0", 1.0),
        ("-3", -3),
        ("007", "007"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("4929123412341234", "4929123412341234"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("1:30.5", "1:30.5"),
        ("no", "no"),
        ("On", "On"),
        ("true", True),
        ("False", False),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e5", "1e5"),
        ("'1.1'", "1.1"),
        ("!!int 0x1F", 31),
        ("!!float 1.10", 1.1),
        ("2024-01-31", "2024-01-31"),
        ("2024-02-31", "2024-02-31"),
        ("[1.10, 1.9]", '["1.10", 1.9]'),
        ("!!binary aGk=", "hi"),
        ("!!set {dd, bb, cc, aa}", ["aa", "bb", "cc", "dd"]),
        ("[!!set {dd, bb, cc, aa}]", '[["aa", "bb", "cc", "dd"]]'),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("[9999-12-31T23:00:00-14:00, {}]", '["9999-12-31T23:00:00-14:00", {}]'),
        ("[{2024-01-31: 2024-02-01, 1: ~}]", '[{"2024-01-31": "2024-02-01", "1": null}]'),
    ],
)
def test_a_value_says_what_was_written(tmp_path, written, value):
    found, _ = read(tmp_path, f"k: {written}")
    assert found == {"k": value} and type(found["k"]) is type(value)


def test_a_moment_with_its_offset_is_one(tmp_path):
    found, _ = read(tmp_path, "k: 2024-01-31 10:00:00 +02:00")
    assert found["k"].startswith("2024-01-31T08:00:00")


def test_a_time_of_the_day_is_text(tmp_path):
    assert read(tmp_path, "k = 07:32:00\nd = 2024-01-31\nn = 1.10", "+++")[0] == {
        "k": "07:32:00",
        "d": "2024-01-31",
        "n": 1.1,
    }


def test_types_make_one_type_of_it(tmp_path):
    (tmp_path / "a.md").write_text("---\nversion: 1.10\ndraft: no\n---\na")
    (tmp_path / "b.md").write_text("---\nversion: 1.9\ndraft: true\n---\nb")
    corpus = Corpus(tmp_path, types={"version": "str", "draft": "bool"})
    assert [(d.record.metadata["version"], d.record.metadata["draft"]) for d in corpus] == [
        ("1.10", False),
        ("1.9", True),
    ]


def test_what_a_file_says_of_its_change_and_path_is_kept(tmp_path):
    (tmp_path / "a.md").write_text("---\nmodified: 2020-01-01\npath: /blog/a\n---\nbody")
    [document] = Corpus(tmp_path)
    assert document.record.metadata == {
        "modified": "2020-01-01",
        "path": "a.md",
        "front_matter.path": "/blog/a",
    }


def test_the_order_of_a_set_is_no_accident(tmp_path):
    code = "from uec_retriever.data.files.front import *; print(front_metadata(take_front_matter('---\\ns: !!set {a,b,c,d,e}\\n---\\n')[0]))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(told) == 1


def lists(depth):
    rows = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, depth)]
    return "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]", *rows])


BOMBS = {
    "lists": lists(7),
    "title": lists(7).replace("a6:", "title:"),
    "objects": "a0: &a0 {x: 1}\n"
    + "\n".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}" for i in range(1, 40)),
    "strings": f"a: &a {'x' * 5_000}\nb: [{', '.join(['*a'] * 1_000)}]",
    "keys": f"a: &a {'x' * 500}\nb: [{', '.join(['{*a : 1}'] * 1_000)}]",
    "nothing": lists(9).replace("x, x, x, x, x, x, x, x, x, x", ""),
    "empty objects": "a0: &a0 {}\n"
    + "\n".join(f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(9))}}}" for i in range(1, 10)),
    "itself": "a: &a [*a]",
    "itself, an object": "a: &a {b: *a}",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_front_matter_does_not_grow_by_its_aliases(tmp_path, bomb, caplog):
    found, text = read(tmp_path, bomb)
    assert found.keys() <= {"title"} and text.startswith("---\na") and text.endswith("body")
    assert "grows to more than 65,536 characters by its aliases and stays in the text" in caplog.text


def test_aliases_that_are_meant_well_are_followed(tmp_path):
    found, _ = read(tmp_path, "by: &me [Ann, Bo]\nedited: *me\nbase: &b {x: 1}\nmore: {<<: *b, y: 2}")
    assert found == {"by": ["Ann", "Bo"], "edited": ["Ann", "Bo"], "base.x": 1, "more.x": 1, "more.y": 2}


def test_what_is_merged_again_and_again_is_merged_once(tmp_path):
    rows = [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 30)}], y: {i}}}" for i in range(1, 10)]
    found, _ = read(tmp_path, "\n".join(["a0: &a0 {x: 1, y: 0}", *rows, "b: {<<: [*a1, *a2], z: 1}"]))
    assert found["a9.x"] == 1 and found["a9.y"] == 9 and len(found) == 23
    assert (found["b.x"], found["b.y"], found["b.z"]) == (1, 1, 1)


@pytest.mark.parametrize("key", ["k", "key"])
def test_own_values_go_before_merged_ones_and_first_ones_before_others(tmp_path, key):
    front = f"a: &a {{{key}: 1, p: 1}}\nb: &b {{{key}: 2, q: 2}}\nc: {{<<: [*a, *b], r: 3}}\nd: {{{key}: 4, <<: *a}}"
    found, _ = read(tmp_path, front)
    assert {k: v for k, v in found.items() if k[0] in "cd"} == {
        f"c.{key}": 1, "c.p": 1, "c.q": 2, "c.r": 3, f"d.{key}": 4, "d.p": 1,
    }  # fmt: skip


def test_far_too_much_is_not_merged(tmp_path, caplog):
    keys = ", ".join(f"k{i}: 1" for i in range(3_000))
    rows = [f"a{i}: &a{i} {{<<: [{', '.join(f'*a{j}' for j in range(i))}]}}" for i in range(1, 80)]
    found, text = read(tmp_path, "\n".join([f"a0: &a0 {{{keys}}}", *rows]))
    assert found.keys() == {"title"} and text.endswith("body") and "it merges far too much" in caplog.text


@pytest.mark.parametrize(
    ("front", "mark"),
    [
        ("k: !!bool maybe", "---"),
        ("k: !!timestamp soon", "---"),
        ("k: !!int ''", "---"),
        ("k: !!python/name:os.system", "---"),
        ("? [a, b]\n: c", "---"),
        ("k: {<<: [1]}", "---"),
        ("k: {<<: soon}", "---"),
        ("k: " + "[" * 5_000, "---"),
        ("title = 0x" + "F" * 5_000, "+++"),
        ("k = [[0x" + "F" * 5_000 + "]]", "+++"),
        ("k = " + "[" * 5_000, "+++"),
    ],
)
def test_what_cannot_be_read_stays_in_the_text(tmp_path, front, mark, caplog):
    found, text = read(tmp_path, front, mark)
    assert found.keys() <= {"title"} and text.startswith(mark) and "a.md: its front matter" in caplog.text


def test_far_too_many_or_too_deep_objects_are_refused():
    assert front_metadata({"a": {"b": 1}}) == {"a.b": 1}
    front, _ = take_front_matter("---\n" + "\n".join(f"k{i}: 1" for i in range(1_001)) + "\n---\n")
    with pytest.raises(CorpusError, match="its front matter: .*1000 keys"):
        front_metadata(front)
    front, _ = take_front_matter("---\n" + "{a: " * 30 + "1" + "}" * 30 + "\n---\n")
    with pytest.raises(CorpusError, match="its front matter: .*too deep"):
        front_metadata(front)
