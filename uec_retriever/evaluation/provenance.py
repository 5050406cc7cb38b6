"""Where a result comes from, and writing it down."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uec_retriever.atomic import write_atomically
from uec_retriever.data.provenance import installed_versions

_PACKAGES = (
    "uec-retriever",
    "chromadb",
    "sentence-transformers",
    "transformers",
    "torch",
    "numpy",
    "ir-measures",
)


def provenance(seed: int, ignored: str | None = None) -> dict[str, Any]:
    """Command, commit (of a checkout), versions, machine and seed of this process, as they are when it is called.

    Args:
        seed: of samples and bootstrap.
        ignored: folder of the checkout in which changes do not count: results that are written change nothing.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = f"python -m {spec.name}" if spec else Path(sys.argv[0]).name
    return {
        "command": shlex.join([*program.split(), *sys.argv[1:]]),
        "commit": _commit(ignored),
        "versions": installed_versions(_PACKAGES),
        "cpus": os.cpu_count(),
        "seed": seed,
    }


def write_result(folder: Path, name: str, content: Mapping[str, Any]) -> Path:
    """Write `<name>.json` and say where.

    Raises:
        StorageError: if it cannot be written.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_atomically(folder / f"{name}.json", f"{text}\n".encode())
    return folder / f"{name}.json"


def _commit(ignored: str | None) -> str | None:
    """Of the checkout that this file is tracked in, with `-dirty` for changes; None outside of one."""
    try:
        commit = _git("describe", "--always", "--abbrev=12")
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        root = _git("rev-parse", "--show-toplevel")
        changes = _git(
            "-C",
            root,
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            ".",
            *([f":!{ignored}"] if ignored else []),
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changes else commit


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    folder = Path(__file__).parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
