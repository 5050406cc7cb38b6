"""Posterior files: one safetensors file, the header as JSON in its metadata."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from uec_retriever.atomic import write_atomically
from uec_retriever.data.json_text import parse_object
from uec_retriever.data.rows import FINITE_ROW, RowError, read_row
from uec_retriever.errors import (
    CorruptFileError,
    FormatVersionError,
    InvalidInputError,
    StorageError,
    show,
)
from uec_retriever.laplace.posterior import STRUCTURES, DiagonalPosterior, KroneckerPosterior, Posterior

FORMAT_VERSION = 1
_HEADER = "uec_posterior"
_NUMBERS = ("count", "prior_precision", "tau", "scale")


def _check_numbers(numbers: dict[str, float]) -> dict[str, float]:
    """The numbers of a posterior, as they are read back."""
    if set(numbers) != set(_NUMBERS) or not min(numbers.values()) > 0 or numbers["count"] % 1:
        raise InvalidInputError(f"{list(_NUMBERS)} must be there and above 0, the count whole")
    return numbers


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

    __pydantic_config__ = FINITE_ROW

    model: str
    fingerprint: str
    layer: str
    structure: Annotated[str, Field(pattern="^(diag|kron)$")]
    dimension: Annotated[int, Field(ge=1)]
    pairs: Annotated[int, Field(ge=0)]
    heldout_pairs: Annotated[int, Field(ge=0)]
    heldout_log_likelihood: float
    source: str
    pairs_hash: str
    numbers: Annotated[dict[str, float], AfterValidator(_check_numbers)] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


def posterior_bytes(posterior: Posterior, header: PosteriorHeader) -> bytes:
    """The contents of a posterior file."""
    numbers: dict[str, float] = {name: getattr(posterior, name) for name in _NUMBERS}
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

    def damaged(error: Exception) -> CorruptFileError:
        return CorruptFileError(f"the header of {path} is damaged ({error}): fit it again with 'uec fit'")

    try:
        fields = parse_object(metadata[_HEADER])
        version = fields.get("format_version")
        if version != FORMAT_VERSION:
            raise FormatVersionError(
                f"{path} has posterior format {show(version)}, this version reads {FORMAT_VERSION}: "
                "upgrade uec-retriever if that is older, or fit it again with 'uec fit'"
            )
        header = read_row(PosteriorHeader, fields)
        numbers = {**header.numbers, "count": int(header.numbers["count"])}
        optional = {"feature_vectors": None} if header.structure == "kron" else {}
        posterior: Posterior = STRUCTURES[header.structure](**numbers, **{**optional, **tensors})  # type: ignore[arg-type]
        _check_tensors(posterior)
        return posterior, header
    except RowError as error:
        if error.newer:
            raise FormatVersionError(
                f"{path} {error}, so a newer version wrote it: upgrade with pip install --upgrade uec-retriever"
            ) from error
        raise damaged(error) from error
    except (InvalidInputError, TypeError) as error:
        raise damaged(error) from error


def _tensors(posterior: Posterior) -> dict[str, torch.Tensor]:
    return {
        name: value.contiguous()
        for name, value in vars(posterior).items()
        if isinstance(value, torch.Tensor) and name in type(posterior).__dataclass_fields__
    }


def _check_tensors(posterior: Posterior) -> None:
    """Refuse tensors that do not go together, or hold NaN or infinity."""
    for name, tensor in _tensors(posterior).items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise InvalidInputError(f"its {name} holds other than finite numbers")
    fits = True
    if isinstance(posterior, KroneckerPosterior):
        values, vectors, factor = (
            posterior.feature_values,
            posterior.feature_vectors,
            posterior.output_factor,
        )
        fits = factor.ndim == 2 and factor.shape[0] == factor.shape[1] > 0 and values.ndim == 1
        fits = fits and (vectors is None or (vectors.ndim == 2 and vectors.shape[1] == len(values)))
    if isinstance(posterior, DiagonalPosterior):
        fits = posterior.fisher.ndim == 2
    basis = posterior.basis
    if not fits or not (basis is None or (basis.ndim == 2 and basis.shape[1] == posterior.shape[0])):
        raise InvalidInputError("its tensors have shapes that do not go together")
