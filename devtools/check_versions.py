"""Check that all distributions, the ranges between them and the changelog speak of one version.

A version is written once for each distribution, in its pyproject.toml. Before `X.Y.Z` is released it may be `X.Y.Z.devN`;
the changelog's first heading is then `## X.Y.Z (unreleased)`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CORE = "uec-retriever"


def main() -> int:
    """Print every disagreement; returns the exit code."""
    found = problems(ROOT)
    for problem in found:
        print(problem)
    return int(bool(found))


def problems(root: Path) -> list[str]:
    """Where the pyproject.toml files and CHANGELOG.md under a folder disagree."""
    files = [root / "pyproject.toml", *sorted(root.glob("integrations/*/pyproject.toml"))]
    projects = [tomllib.loads(file.read_text(encoding="utf-8"))["project"] for file in files]
    version = Version(projects[0]["version"])
    found = []
    for project in projects[1:]:
        if Version(project["version"]) != version:
            found.append(f"{project['name']} is {project['version']}, {CORE} is {version}")
        for requirement in map(Requirement, project["dependencies"]):
            if requirement.name == CORE and not requirement.specifier.contains(version, prereleases=True):
                found.append(f"{project['name']} asks for {requirement}, which {version} is not")
    return found + _changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)


def _changelog(text: str, version: Version) -> list[str]:
    heading = re.search(r"^## (\S+)( \(unreleased\))?", text, re.MULTILINE)
    if heading is None:
        return ["CHANGELOG.md has no heading '## VERSION'"]
    if heading[1] != version.base_version:
        return [f"CHANGELOG.md is about {heading[1]} first, {CORE} is {version}"]
    if version.is_prerelease and not heading[2]:
        return [f"CHANGELOG.md calls {heading[1]} released, {CORE} is {version}"]
    return []


if __name__ == "__main__":
    sys.exit(main())
