"""What goes before the commands: the version, and how much is said."""

import logging
import subprocess
import sys

import pytest

import uec_retriever
from tests.cli.test_help import commands


def test_version(uec):
    outcome = uec("--version")
    assert (outcome.code, outcome.out) == (0, f"uec-retriever {uec_retriever.__version__}\n")


NOTHING, OURS, BOTH = (), ("ours",), ("ours", "theirs")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((), (), NOTHING),
        (("-v",), (), OURS),
        (("-vv",), (), BOTH),
        ((), ("-v",), OURS),
        ((), ("-vv",), BOTH),
        (("-v",), ("--verbose",), BOTH),
    ],
)
def test_verbose_tells_more_while_the_command_runs(uec, index, monkeypatch, before, after, told):
    levels = logging.getLogger().level, logging.getLogger("uec_retriever").level

    def read(string):
        logging.getLogger("uec_retriever.confidence").info("ours")
        logging.getLogger("chromadb").info("theirs")

    monkeypatch.setattr("uec_retriever.cli.manage.read_confidence", read)
    outcome = uec(*before, "info", *after, "--index", index)
    assert outcome.code == 0
    assert [line for line in ("ours", "theirs") if f"note: {line}" in outcome.err] == list(told)
    assert (logging.getLogger().level, logging.getLogger("uec_retriever").level) == levels


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_and_group_takes_it(uec, path):
    assert "-v, --verbose" in uec(*path, "--help").out


def test_python_runs_it_too():
    ran = subprocess.run(
        [sys.executable, "-m", "uec_retriever", "--version"], capture_output=True, text=True, check=True
    )
    assert (ran.stdout, ran.stderr) == (f"uec-retriever {uec_retriever.__version__}\n", "")
