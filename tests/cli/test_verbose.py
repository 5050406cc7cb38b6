"""What goes before the commands: the version, and how much is said."""

import logging

import pytest

import uec_retriever


def test_version(uec):
    outcome = uec("--version")
    assert (outcome.code, outcome.out) == (0, f"uec-retriever {uec_retriever.__version__}\n")


@pytest.mark.parametrize(("asked", "told"), [((), ()), (("-v",), ("ours",)), (("-vv",), ("ours", "theirs"))])
def test_verbose_tells_more_while_the_command_runs(uec, index, monkeypatch, asked, told):
    levels = logging.getLogger().level, logging.getLogger("uec_retriever").level

    def read(string):
        logging.getLogger("uec_retriever.confidence").info("ours")
        logging.getLogger("chromadb").info("theirs")

    monkeypatch.setattr("uec_retriever.cli.manage.read_confidence", read)
    outcome = uec(*asked, "info", "--index", index)
    assert outcome.code == 0
    assert [line for line in ("ours", "theirs") if f"note: {line}" in outcome.err] == list(told)
    assert (logging.getLogger().level, logging.getLogger("uec_retriever").level) == levels
