"""Versions behind a training run."""

from __future__ import annotations

from importlib.metadata import version


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide a training run."""
    names = ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")
    return {name: version(name) for name in names}
