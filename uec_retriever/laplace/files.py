"""Posterior files: one safetensors file, the header as JSON in its metadata."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from uec_retriever.atomic import write_atomically
from uec_retriever.errors import (
    CorruptFileError,
    FormatVersionError,
    InvalidInputError,
    StorageError,
)
from uec_retriever.laplace.posterior import STRUCTURES, Posterior

FORMAT_VERSION = 1
_HEADER = "uec_posterior"


@dataclass(frozen=True)
class PosteriorHeader:
    """What a posterior belongs to and how it was made; stored as JSON beside the tensors.

    Attributes:
        model: name or path the model was loaded from (for people).
        fingerprint: hash of its weights, tokenizer and modules (for machines).
        layer: name of the linear layer within the model.
        structure: `diag` or `kron`.
        dimension: D.
        pairs: calibration pairs used for the curvature.
        heldout_pairs: calibration pairs kept back for `scale` and `heldout_log_likelihood`.
        heldout_log_likelihood: mean log softmax of the right candidate on those, in nats.
        source: where the pairs came from, e.g. `user` or `title`.
        pairs_hash: SHA-256 of the pairs, so that an interrupted build finds its fit again.
        numbers: count, prior_precision, tau and scale of the posterior.
        versions: library versions that made it.
    """

    model: str
    fingerprint: str
    layer: str
    structure: str
    dimension: int
    pairs: int
    heldout_pairs: int
    heldout_log_likelihood: float
    source: str
    pairs_hash: str
    numbers: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


def posterior_bytes(posterior: Posterior, header: PosteriorHeader) -> bytes:
    """The contents of a posterior file."""
    numbers: dict[str, float] = {
        "count": posterior.count,
        "prior_precision": posterior.prior_precision,
        "tau": posterior.tau,
        "scale": posterior.scale,
    }
    header = replace(header, numbers=numbers, structure=posterior.structure)
    return save(_tensors(posterior), metadata={_HEADER: json.dumps(asdict(header), sort_keys=True)})


def save_posterior(path: Path, posterior: Posterior, header: PosteriorHeader) -> None:
    """Write a posterior file, whole or not at all.

    Args:
        path: its folder is made if absent.
        posterior: what `header` describes; its numbers and structure go into the header.
        header: as `fit_posterior` returns it.

    Raises:
        StorageError: if the folder cannot be written or the disk is full.
    """
    write_atomically(path, posterior_bytes(posterior, header))


def load_posterior(path: Path) -> tuple[Posterior, PosteriorHeader]:
    """Read a posterior written by `save_posterior`.

    Raises:
        InvalidInputError: if there is no such file, or it is no posterior.
        FormatVersionError: if it has another format version.
        CorruptFileError: if it is damaged or was cut off.
        StorageError: if it cannot be read.
    """
    if not path.is_file():
        raise InvalidInputError(f"no posterior file at {path}: make one with 'uec fit'")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise CorruptFileError(f"{path} is damaged ({error}): fit it again with 'uec fit'") from error
    if _HEADER not in metadata:
        raise InvalidInputError(f"{path} is a safetensors file, but not a posterior: make one with 'uec fit'")
    damaged = CorruptFileError(f"the header of {path} is damaged: fit it again with 'uec fit'")
    try:
        fields: Any = json.loads(metadata[_HEADER])
    except json.JSONDecodeError as error:
        raise damaged from error
    if not isinstance(fields, dict):
        raise damaged
    if fields.get("format_version") != FORMAT_VERSION:
        raise FormatVersionError(
            f"{path} has posterior format {fields.get('format_version')}, this version reads "
            f"{FORMAT_VERSION}: fit it again with 'uec fit'"
        )
    try:
        header = PosteriorHeader(**fields)
        numbers = {**header.numbers, "count": int(header.numbers["count"])}
        optional = {"feature_vectors": None} if header.structure == "kron" else {}
        posterior: Posterior = STRUCTURES[header.structure](**numbers, **{**optional, **tensors})  # type: ignore[arg-type]
    except (TypeError, KeyError, AttributeError) as error:
        raise damaged from error
    return posterior, header


def _tensors(posterior: Posterior) -> dict[str, torch.Tensor]:
    return {
        name: value.contiguous()
        for name, value in vars(posterior).items()
        if isinstance(value, torch.Tensor) and name in type(posterior).__dataclass_fields__
    }
