"""Results as JSON that says where it comes from, and as rows of a table."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from uec_retriever.evaluation.metrics import RANK_METRICS, TOKEN_F1

_PACKAGES = ("uec-retriever", "sentence-transformers", "transformers", "torch", "numpy", "ir-measures")


def provenance(seed: int) -> dict[str, Any]:
    """Command, commit (of a checkout), versions, machine and seed of this process."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "cpus": os.cpu_count(),
        "seed": seed,
    }


def table(result: Mapping[str, Any], scope: str) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a study's result in one scope.

    A metric's cell is its mean with the 95 % interval; `*` marks a paired difference to the baseline whose
    interval leaves out 0.
    """
    systems: Mapping[str, Mapping[str, Any]] = result["scopes"][scope]
    metrics = [m for m in (*RANK_METRICS, TOKEN_F1) if all(m in row for row in systems.values())]
    rows = []
    for label, row in systems.items():
        cells = [_cell(row[m]) for m in metrics]
        rows.append([label, *cells, f"{row['milliseconds']:.1f}"])
    return ["system", *metrics, "ms per query"], rows


def _cell(cell: Mapping[str, Any]) -> str:
    difference = cell["difference"]
    clear = difference["low"] > 0 or difference["high"] < 0
    relative = f" {cell['relative']:+.1%}" if cell["relative"] else ""
    return f"{cell['mean']:.3f}{relative}{'*' if clear else ''}\n[{cell['low']:.3f}, {cell['high']:.3f}]"


def _commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
