"""Commands, options, errors and public names on the pages exist, and all commands and errors are on a page."""

import inspect
import re
import shlex

import pytest
import typer

from tests.docs.pages import README, ROOT, TOPICS, blocks, name, spans
from uec_retriever import errors
from uec_retriever.cli.app import app

CLI = typer.main.get_command(app)
ELSEWHERE = {"--framework-fusion", "--lr"}  # of benchmarks


def commands(command=CLI, path=("uec",)):
    """Path -> command, of all that do something."""
    if not hasattr(command, "commands"):
        return {" ".join(path): command}
    found = {" ".join(path): command} if command.invoke_without_command else {}
    for key, each in command.commands.items():
        found |= commands(each, (*path, key))
    return found


def options(command):
    """Of a command, with their short names and opposites, and help."""
    own = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    return own | {"--help"}


def command_lines(text):
    """What a page has to type, beginning with `uec`."""
    typed = [" ".join(s.removeprefix("`").split()) for s in spans(text)]
    for block in blocks(text):
        if block.language == "":
            typed += block.text.replace("\\\n", " ").splitlines()
    return [
        re.sub(r"^(\w+='[^']*' )+", "", line) for line in typed if re.match(r"(\w+='[^']*' )*uec\b", line)
    ]


def problem(line):
    """What is wrong with a command line, or None."""
    words = shlex.split(line, comments=True)
    command, at = CLI, 1
    while hasattr(command, "commands") and at < len(words) and not words[at].startswith("-"):
        if words[at] not in command.commands:
            return None if words[at] == "COMMAND" else f"no command {words[at]}"
        command, at = command.commands[words[at]], at + 1
    known = options(command)
    unknown = [w for w in words[at:] if re.match(r"--?[a-z]", w) and w.partition("=")[0] not in known]
    return f"{line}: no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", [README, *TOPICS], ids=name)
def test_commands_and_their_options_exist(page):
    found = [problem(line) for line in command_lines(page.read_text())]
    assert [each for each in found if each] == []


@pytest.mark.parametrize(
    "line",
    ["uec gone", "uec eval gone", "uec search --gone 3", "uec index --corpus c --pair x", "uec search -q 3"],
)
def test_what_does_not_exist_is_found(line):
    assert problem(line)


@pytest.mark.parametrize("page", [README, *TOPICS], ids=name)
def test_options_by_themselves_exist(page):
    every = set().union(*map(options, commands().values())) | ELSEWHERE
    alone = {span.split()[0] for span in spans(page.read_text()) if span.startswith("--")}
    assert alone <= every


def test_every_command_is_told():
    told = {line for line in command_lines((ROOT / "docs" / "command-line.md").read_text())}
    assert set(commands()) <= told


def test_every_error_is_told():
    kinds = {
        key
        for key, value in vars(errors).items()
        if inspect.isclass(value)
        and issubclass(value, errors.UECError)
        and value.__module__ == errors.__name__
    }
    assert kinds <= set(spans((ROOT / "docs" / "errors.md").read_text()))
