"""Commands that need no model do not load what models need."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from uec_retriever.cli import main
try:
    main()
finally:
    print("loaded", *sorted({"torch", "transformers", "sentence_transformers", "sklearn"} & set(sys.modules)))
"""


def loaded(*arguments):
    """The heavy packages that are there when a command has ended well."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("command", [["info"], ["info", "--json"], ["delete", "--id", "d1"]])
def test_no_model_is_imported_without_need(index, command):
    assert loaded(*command, "--index", index) == []


@pytest.mark.parametrize("command", [[], ["index"], ["search"], ["label"], ["train"], ["eval", "uae"]])
def test_help_imports_nothing_heavy(command):
    assert loaded(*command, "--help") == []


def test_the_test_sees_a_heavy_import(index):
    assert "torch" in loaded("search", "--index", index, "wing")
