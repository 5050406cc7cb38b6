"""Commands that need no model do not load what models need."""

import gc
import json
import subprocess
import sys

HEAVY = ("torch", "transformers", "sentence_transformers", "sklearn")
PROGRAM = """
import json, sys
from uec_retriever.cli import main
commands, packages = json.loads(sys.argv[1])
for arguments in commands:
    sys.argv = ["uec", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, arguments
    print("loaded", *sorted(set(packages) & set(sys.modules)))
"""


def loaded(*commands, packages=HEAVY):
    """Those packages that are there after each of some commands, all in one new process, which have ended well."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([commands, packages])],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in ran.stdout.splitlines() if line.split()[:1] == ["loaded"]]
    assert len(lines) == len(commands)
    return [line.split()[1:] for line in lines]


def test_what_an_index_is_takes_chroma_and_little_more(index):
    """`import chromadb` is most of it; scipy was a tenth more."""
    assert loaded(["info", "--index", str(index)], packages=("chromadb", "scipy")) == [["chromadb"]]


def test_no_model_is_imported_without_need(index):
    place = ["--index", str(index)]
    light = (
        ["info", *place],
        ["info", *place, "--json"],
        ["delete", *place, "--id", "d1"],
        ["words", *place],
        ["words", *place, "--off"],
    )
    *without, with_model = loaded(*light, ["search", *place, "wing"])
    assert without == [[]] * len(light)
    assert "torch" in with_model  # a heavy import is seen


def test_nothing_looks_for_garbage_while_models_are_loaded(uec, index, monkeypatch):
    """It took a fifth of the time until the first search; afterwards it goes on."""
    from uec_retriever.engine.engine import Engine

    real, seen = Engine.open, []

    def opening(*arguments, **options):
        seen.append(gc.isenabled())
        return real(*arguments, **options)

    monkeypatch.setattr(Engine, "open", opening)
    assert gc.isenabled() and uec("search", "--index", index, "wing").code == 0
    assert seen == [False] and gc.isenabled()
    monkeypatch.setattr(Engine, "open", lambda *arguments, **options: 1 / 0)
    assert uec("search", "--index", index, "wing").code == 1 and gc.isenabled()


def test_help_imports_nothing_heavy():
    commands = ([], ["index"], ["search"], ["words"], ["recalibrate"], ["label"], ["train"], ["eval", "uae"])
    assert loaded(*([*command, "--help"] for command in commands)) == [[]] * len(commands)
