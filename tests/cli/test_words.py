"""Words as an expert, on the command line."""

import io
import json
import re
import shutil
from dataclasses import asdict, replace

import pytest

from tests.cli.conftest import refused
from uec_retriever.cli.safe import SafeConsole
from uec_retriever.store.lexical_options import LexicalOptions

SHARE = LexicalOptions().share


def told(uec, index):
    """What `uec info` says of words, for machines."""
    return json.loads(uec("info", "--index", index, "--json").out)["lexical"]


def shown(uec, *arguments):
    """What a command prints, on one line; it must work."""
    outcome = uec(*arguments)
    assert outcome.code == 0, outcome
    return " ".join(outcome.out.split())


@pytest.fixture
def without(uec, index):
    """An index like those of 0.1.0."""
    assert uec("words", "--index", index, "--off").code == 0
    assert not list(index.glob("words/*.sqlite3*"))
    return index


def test_a_new_index_has_words(uec, index):
    assert told(uec, index) == {**asdict(LexicalOptions()), "temperature": "Infinity", "behind": 0}
    info = uec("info", "--index", index).out
    assert f"words: english, share {SHARE:.0%}; their index follows all 60 texts" in info
    priors = [
        int(line.split("%")[0].split()[-1]) for line in info.splitlines() if re.match("one|two|words ", line)
    ]
    assert len(priors) == 3 and priors[-1] == round(100 * SHARE) and sum(priors) in (99, 100, 101)


def test_the_language_of_a_new_index_or_no_words(uec, corpus, models, tmp_path):
    made = ("--corpus", corpus(40), "--expert", models["bert"])
    assert uec("index", "--index", tmp_path / "german", *made, "--language", "German").code == 0
    assert told(uec, tmp_path / "german")["language"] == "german"
    assert uec("index", "--index", tmp_path / "plain", *made, "--language", "none").code == 0
    assert told(uec, tmp_path / "plain")["language"] is None
    assert f"words: no language, share {SHARE:.0%}" in uec("info", "--index", tmp_path / "plain").out
    assert uec("index", "--index", tmp_path / "without", *made, "--no-lexical").code == 0
    assert told(uec, tmp_path / "without") is None
    assert "words are no expert: 'uec words' adds them" in uec("info", "--index", tmp_path / "without").out
    answer = json.loads(uec("search", "--index", tmp_path / "without", "--json", "wing").out)
    assert list(answer["coefficients"].values()) == [1.0]
    assert all(hit["matched"] == [] for hit in answer["hits"])


@pytest.mark.parametrize(
    "command", [("index", "--corpus", "c", "--expert", "e"), ("reindex", "--to", "there"), ("words",)]
)
def test_languages_that_do_not_exist(uec, tmp_path, placeholders, command):
    placeholders("c")
    for language in ("klingon", "", "en\x1b[2J"):
        outcome = uec(*command, "--index", tmp_path / "i", "--language", language)
        refused(outcome, "no stemmer of that name", "none for no stemming", "english", "german", code=2)
    assert not (tmp_path / "i").exists()


def test_options_that_contradict_each_other(uec, tmp_path, placeholders):
    placeholders("c")
    place, contradiction = ("--index", tmp_path / "i"), "--language would change nothing with --"
    both = ("--no-lexical", "--language", "german")
    refused(uec("index", *place, "--corpus", "c", *both), f"{contradiction}no-lexical", code=2)
    refused(uec("reindex", *place, "--to", "there", *both), f"{contradiction}no-lexical", code=2)
    refused(uec("words", *place, "--off", "--language", "german"), f"{contradiction}off", code=2)


def test_an_index_that_is_there_must_agree(uec, index, corpus, judged):
    add = ("index", "--index", index, "--corpus", corpus(60))
    refused(uec(*add, "--language", "german"), "otherwise than words of language 'german'", "'uec words'")
    refused(uec(*add, "--no-lexical"), "otherwise than without words", "'uec words'")
    refused(uec(*add, "--no-lexical", "--layout", "sum"), "layout sum and without words", "'uec reindex'")
    assert "60 unchanged" in uec(*add, "--language", "english").out
    assert uec("recalibrate", "--index", index, "--data", judged).code == 0
    assert told(uec, index)["share"] != SHARE
    assert "60 unchanged" in uec(*add, "--language", "english").out
    assert uec("words", "--index", index, "--off").code == 0
    refused(uec(*add, "--language", "english"), "otherwise than with words", "'uec words'")
    assert "60 unchanged" in uec(*add, "--no-lexical").out


def test_words_are_added_once(uec, without):
    assert told(uec, without) is None
    place = ("words", "--index", without)
    first = shown(uec, *place)
    assert first == (
        f"words are an expert of this index: english from now on, prior trust {SHARE:.0%} the words of 60 texts were indexed; "
        "their index follows all 60 texts"
    )
    again = shown(uec, *place)
    assert (
        again
        == f"words are an expert of this index already: english, prior trust {SHARE:.0%} their index follows all 60 texts"
    )
    machine = json.loads(uec(*place, "--json").out)
    assert (machine["changed"], machine["indexed"], machine["lexical"]) == (False, 0, told(uec, without))
    coefficients = json.loads(uec("search", "--index", without, "--json", "wing").out)["coefficients"]
    assert coefficients["words"] == SHARE and sum(coefficients.values()) == pytest.approx(1)


def test_words_are_taken_away_once(uec, index):
    place = ("words", "--index", index, "--off")
    assert shown(uec, *place) == "words are no longer an expert of this index"
    assert shown(uec, *place) == "words are no expert of this index"
    assert json.loads(uec(*place, "--json").out) == {"lexical": None, "changed": False, "indexed": 0}
    assert set(json.loads(uec("search", "--index", index, "--json", "wing").out)["coefficients"]) == {
        "one",
        "two",
    }


def test_words_of_another_language(uec, index):
    place = ("words", "--index", index)
    outcome = uec(*place, "--language", "none")
    assert outcome.code == 0 and outcome.err == ""  # what was indexed is no damage
    changed = " ".join(outcome.out.split())
    assert (
        f"no language instead of english, prior trust {SHARE:.0%} the words of 60 texts were indexed"
        in changed
    )
    assert shown(uec, *place).startswith("words are an expert of this index already: no language")
    assert json.loads(uec(*place, "--language", "french", "--json").out)["indexed"] == 60
    assert told(uec, index)["language"] == "french"


def test_a_change_drops_confidence_and_says_so(uec, index):
    assert uec("calibrate-confidence", "--index", index, "-k", "25").code == 0
    assert "confidence" not in uec("words", "--index", index).err
    assert "confidence (first 25)" in uec("info", "--index", index).out
    assert "the calibrated confidence and coverage are dropped" in uec("words", "--index", index, "--off").err
    assert "confidence not calibrated" in uec("info", "--index", index).out


def test_folders_without_an_index(uec, tmp_path):
    (tmp_path / "plain").mkdir()
    for options in ((), ("--off",), ("--language", "german")):
        refused(uec("words", "--index", tmp_path / "plain", *options), "there is no index", "uec index")
        refused(uec("words", "--index", tmp_path / "none", *options), "there is no index")
    assert list((tmp_path / "plain").iterdir()) == [] and not (tmp_path / "none").exists()


def test_an_old_expert_that_is_called_words(uec, without):
    from uec_retriever.engine.location import Location
    from uec_retriever.engine.open import open_store

    _, store, manifest = open_store(Location(without))
    first, second = manifest.experts
    store.save_manifest(replace(manifest, experts=(replace(first, label="words"), second)), manifest)
    store.close()
    refused(uec("words", "--index", without), "an expert of this index is called 'words'", "uec reindex")
    assert told(uec, without) is None


def test_info_tells_how_far_words_have_followed(uec, index):
    from uec_retriever.engine.location import Location
    from uec_retriever.engine.open import open_store

    _, store, _ = open_store(Location(index))  # a program that knows of no words
    store.delete(["d1", "d2", "d3"])
    store.close()
    assert told(uec, index)["behind"] == 3
    assert "3 texts behind: the next search catches up" in shown(uec, "info", "--index", index)
    assert uec("search", "--index", index, "wing").code == 0
    assert "their index follows all 57 texts" in shown(uec, "info", "--index", index)
    shutil.rmtree(index / "words")
    assert told(uec, index)["behind"] is None
    assert "not made yet: the next search makes it" in shown(uec, "info", "--index", index)
    assert uec("search", "--index", index, "wing").err == ""
    assert told(uec, index)["behind"] == 0


def test_no_word_of_what_is_deleted_stays(uec, index):
    assert "3 deleted" in shown(uec, "delete", "--index", index, *(f"--id=d{i}" for i in range(3)))
    assert told(uec, index)["behind"] == 0
    shutil.rmtree(index / "words")
    assert "1 deleted" in shown(uec, "delete", "--index", index, "--id", "d5")
    assert told(uec, index)["behind"] is None  # a deletion indexes nothing


def test_much_to_index_is_shown(uec, index, monkeypatch):
    from uec_retriever.cli import common, lexical

    file = io.StringIO()
    monkeypatch.setattr(common, "errors", SafeConsole(file=file, force_terminal=True, width=100))
    assert uec("search", "--index", index, "wing").code == 0
    assert "Indexing words" not in file.getvalue()
    shutil.rmtree(index / "words")
    monkeypatch.setattr(lexical, "_MANY", 60)
    assert uec("search", "--index", index, "wing").code == 0
    assert "Indexing words" in file.getvalue() and "60/60" in file.getvalue()
    assert told(uec, index)["behind"] == 0


def test_reindex_keeps_words_as_they_are(uec, index, judged, tmp_path):
    assert uec("words", "--index", index, "--language", "german").code == 0
    assert uec("recalibrate", "--index", index, "--data", judged).code == 0
    there = told(uec, index)
    assert there["share"] != SHARE
    again = ("reindex", "--index", index)
    assert "60 added" in uec(*again, "--to", tmp_path / "same").out
    assert told(uec, tmp_path / "same") == there
    french = (*again, "--to", tmp_path / "french", "--language", "french")
    assert "60 added" in uec(*french).out
    assert told(uec, tmp_path / "french") == {**there, "language": "french"}
    assert "60 unchanged" in uec(*french).out
    assert "60 unchanged" in uec(*again, "--to", tmp_path / "french").out
    refused(uec(*again, "--to", tmp_path / "french", "--no-lexical"), "without words")
    assert "60 added" in uec(*again, "--to", tmp_path / "without", "--no-lexical").out
    assert told(uec, tmp_path / "without") is None


def test_reindex_gives_words_to_what_has_none(uec, without, tmp_path):
    assert "60 added" in uec("reindex", "--index", without, "--to", tmp_path / "new").out
    assert told(uec, tmp_path / "new")["language"] == "english" and told(uec, without) is None


def test_matches_for_machines(uec, index):
    hits = json.loads(uec("search", "--index", index, "--json", "heated wings").out)["hits"]
    matched = [[hit["text"][start:end] for start, end in hit["matched"]] for hit in hits]
    assert matched[0] and {word for words in matched for word in words} == {"heat", "wing"}


def test_matches_are_highlighted_on_a_terminal_alone(uec, index, monkeypatch):
    from uec_retriever.cli import hits

    assert "\x1b" not in uec("search", "--index", index, "heated wings").out
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, color_system="standard", width=80)
    monkeypatch.setattr(hits, "output", console)
    assert uec("search", "--index", index, "heated wings").code == 0
    assert "\x1b[1;32mheat\x1b[0m" in file.getvalue() and "\x1b[1;32mwing\x1b[0m" in file.getvalue()
    assert all(len(re.sub("\x1b\\[[0-9;]*m", "", line)) <= 80 for line in file.getvalue().splitlines())


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_long_texts_are_shown_by_what_matches(uec, index, corpus, monkeypatch, width):
    from uec_retriever.cli import hits

    path = corpus(60)
    text = "nothing of note " * 60 + "the aileron" + " and so on" * 60
    path.write_text(path.read_text() + json.dumps({"_id": "long", "text": text}) + "\n")
    assert uec("index", "--index", index, "--corpus", path, "--no-split").code == 0
    file = io.StringIO()
    monkeypatch.setattr(hits, "output", SafeConsole(file=file, width=width))
    assert uec("search", "--index", index, "-k", "61", "ailerons").code == 0
    lines = file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    if width >= 80:
        assert "the aileron and so on" in file.getvalue() and "61" in file.getvalue()
        assert len(lines) <= 2 + 4 * 61  # trust, header, and of each text id, title and two lines
