"""Help that can be read on a narrow terminal."""

import re
from typing import Literal

import pytest
import typer
from typer.main import get_command

from uec_retriever.cli.app import app
from uec_retriever.cli.help import fit_help

START = re.compile(r"  (-{1,2}[\w\[]|[A-Z.]+  )")


def commands(command=None, path=()):
    """The names of every command, groups and subcommands too."""
    command = command or get_command(app)
    yield path
    for name, part in getattr(command, "commands", {}).items():
        yield from commands(part, (*path, name))


def entries(text):
    """Each option and argument of a help screen, with its lines."""
    found, part = [], None
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            part = line
        elif part in ("Options:", "Arguments:") and line.strip():
            if START.match(line):
                found.append([line])
            else:
                found[-1].append(line)
    return found


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_two_lines_an_option_at_80_columns(uec, monkeypatch, path):
    monkeypatch.setenv("COLUMNS", "80")
    told = uec(*path, "--help")
    assert told.code == 0
    assert all(len(line) <= 80 for line in told.out.splitlines())
    found = entries(told.out)
    assert "--help" in found[-1][0]
    assert [entry for entry in found if len(entry) > 2] == []
    assert not any("…" in line for entry in found for line in entry)


def test_wide_terminals_get_no_lines_that_are_hard_to_read(uec, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert max(len(line.rstrip()) for line in uec("search", "--help").out.splitlines()) <= 100


def test_what_options_take_is_said_in_few_letters(uec, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = uec("index", "--help").out
    for said in (
        "-i, --index PATH",
        "--max-pairs N",
        "--temperature X",
        "--layout block|sum",
        "--[no-]trust-remote-code",
    ):
        assert said in told
    assert "[default: replace]" in told and "[required]" in told and "[default: no-" not in told


def test_a_choice_that_is_too_long_beside_its_option_is_told_in_its_help(uec, monkeypatch, capsys):
    toy = typer.Typer()

    @toy.command()
    def only(
        ordinal: Literal["first", "second", "third", "fourth", "fifth"] = typer.Option(
            "first", help="Which."
        ),
    ):
        pass

    fit_help(toy)
    with pytest.raises(SystemExit):
        toy(["--help"])
    shown = capsys.readouterr().out
    assert "--ordinal TEXT" in shown and "first|second|third|fourth|fifth: Which." in shown
