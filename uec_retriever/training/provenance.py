"""Where a training run's data comes from."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from uec_retriever.errors import LabelError


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide a training run."""
    names = ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")
    return {name: version(name) for name in names}


def label_manifest(labels: Path) -> dict[str, Any] | None:
    """The manifest beside a label file (`labels.jsonl.manifest.json`); None if there is none.

    Raises:
        LabelError: if it cannot be read.
    """
    path = labels.with_name(labels.name + ".manifest.json")
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelError(f"cannot read the manifest {path}: {error}") from error
    if not isinstance(manifest, dict):
        raise LabelError(f"the manifest {path} is {type(manifest).__name__}, not a JSON object")
    return manifest
