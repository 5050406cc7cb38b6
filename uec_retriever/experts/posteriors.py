"""Posterior files and experts: joined only when they belong together."""

from __future__ import annotations

from pathlib import Path

from uec_retriever.errors import ModelMismatchError
from uec_retriever.experts.expert import Expert
from uec_retriever.laplace.files import PosteriorHeader, load_posterior


def attach_posterior(expert: Expert, path: Path) -> PosteriorHeader:
    """Give an expert the posterior of a file.

    Raises:
        ModelMismatchError: if the file belongs to another model, even one of equal dimension.
        InvalidInputError, FormatVersionError, CorruptFileError: as `load_posterior`.
    """
    posterior, header = load_posterior(path)
    check_fingerprint(expert, header.fingerprint, f"the posterior {path} was fitted for {header.model!r}")
    expert.posterior = posterior
    return header


def check_fingerprint(expert: Expert, fingerprint: str, claim: str) -> None:
    """Refuse a model that is not the one a file or index was made with.

    Raises:
        ModelMismatchError: naming both and the fix.
    """
    if expert.fingerprint != fingerprint:
        raise ModelMismatchError(
            f"{claim}, but {expert.name!r} differs from it in weights, vocabulary, pooling, prompts, truncation or "
            "precision: load the model it was made with, or fit and index anew"
        )
