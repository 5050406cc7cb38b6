"""Tested versions, `constraints/pythonX.Y.txt`: find the file of this Python, write it, compare it with what is installed.

    python -m devtools.constraints file     # the file of this Python, or of the nearest one
    python -m devtools.constraints write    # from the packages of this environment, which `make constraints` makes
    python -m devtools.constraints check    # fails where this environment departs from the file

Standard library only: the Makefile asks before anything is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "constraints"
HEADER = """\
# Versions that the tests pass with on Python {python}: pip install -c this file.
# Written by `make constraints` from an environment with the ranges of the pyproject.toml files; do not edit.
"""
IGNORED = frozenset({"wheel"})


def constraints_file(folder: Path = FOLDER, python: tuple[int, int] = sys.version_info[:2]) -> Path:
    """The file for a Python; where there is none, that of the nearest version, with a note on stderr.

    Raises:
        FileNotFoundError: if the folder has no constraints at all.
    """
    files = {version_of(file): file for file in folder.glob("python3.*.txt")}
    if not files:
        raise FileNotFoundError(f"no python3.*.txt in {folder}")
    nearest = min(files, key=lambda version: (abs(version[1] - python[1]), version))
    if nearest != python:
        asked, found = (".".join(map(str, version)) for version in (python, nearest))
        print(f"no tested versions for Python {asked}: those of Python {found} are used", file=sys.stderr)
    return files[nearest]


def version_of(file: Path) -> tuple[int, int]:
    """(3, 11) of `python3.11.txt`."""
    major, minor = file.stem.removeprefix("python").split(".")
    return int(major), int(minor)


def normalise(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(lines: Iterable[str]) -> dict[str, str]:
    """Normalised name -> version of lines `name==version`; a local label (`+cpu`), which indexes do not know, is cut.

    Raises:
        ValueError: for another kind of line.
    """
    pinned = {}
    for line in lines:
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, separator, version = line.partition("==")
        if not separator:
            raise ValueError(f"not of the form name==version: {line!r}")
        pinned[normalise(name.strip())] = version.split("+")[0].strip()
    return pinned


def frozen() -> dict[str, str]:
    """Name -> version of this environment, pip's own too, without what is installed from a checkout."""
    command = [sys.executable, "-m", "pip", "freeze", "--all", "--exclude-editable"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name: version for name, version in parse(output.splitlines()).items() if name not in IGNORED}


def installed_packages() -> dict[str, str]:
    """Name -> version of what can be imported here, whatever brought it."""
    return {normalise(d.metadata["Name"]): d.version.split("+")[0] for d in distributions()}


def departures(
    tested: dict[str, str], found: dict[str, str], ours: frozenset[str] = frozenset()
) -> list[str]:
    """Where an environment departs from tested versions; a tested package that is absent does not.

    Args:
        tested: name -> version.
        found: name -> version in the environment.
        ours: names that need no tested version.
    """
    problems = []
    for name, version in sorted(found.items()):
        if name in ours | IGNORED:
            continue
        if name not in tested:
            problems.append(f"{name} {version} is installed but has no tested version: run make constraints")
        elif version != tested[name]:
            problems.append(f"{name} {version} is installed, tested is {tested[name]}")
    return problems


def own_names() -> frozenset[str]:
    """Names of this repository's distributions."""
    root = FOLDER.parent
    files = [root / "pyproject.toml", *root.glob("integrations/*/pyproject.toml")]
    return frozenset(
        normalise(tomllib.loads(f.read_text(encoding="utf-8"))["project"]["name"]) for f in files
    )


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    match arguments:
        case ["file"]:
            print(os.path.relpath(constraints_file()))
        case ["write"]:
            python = ".".join(map(str, sys.version_info[:2]))
            lines = [f"{name}=={version}\n" for name, version in sorted(frozen().items())]
            file = FOLDER / f"python{python}.txt"
            file.write_text(HEADER.format(python=python) + "".join(lines), encoding="utf-8")
            print(f"{file}: {len(lines)} packages")
        case ["check"]:
            file = constraints_file()
            problems = departures(
                parse(file.read_text(encoding="utf-8").splitlines()), installed_packages(), own_names()
            )
            for problem in problems:
                print(problem)
            print(f"{len(problems)} departures from {file}")
            return int(bool(problems))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
