"""Posteriors of files, and the experts that they belong to."""

from __future__ import annotations

from pathlib import Path

from uec_retriever.errors import ModelMismatchError
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fingerprint import SCHEME, same_model
from uec_retriever.laplace.files import PosteriorHeader, load_posterior


def attach_posterior(expert: Expert, path: Path) -> tuple[Expert, PosteriorHeader]:
    """An expert with the posterior of a file, and the file's header; the given expert stays as it is.

    Args:
        expert: whose model the posterior was fitted for.
        path: written by `save_posterior`.

    Raises:
        ModelMismatchError: if the file belongs to another model, even one of equal dimension.
        InvalidInputError: if there is no such file, or it is no posterior.
        FormatVersionError: if it has another format version.
        CorruptFileError: if it is damaged or was cut off.
    """
    posterior, header = load_posterior(path)
    check_fingerprint(expert, header.fingerprint, f"the posterior {path} was fitted for {header.model!r}")
    return expert.with_posterior(posterior), header


def check_fingerprint(expert: Expert, fingerprint: str, claim: str) -> None:
    """Refuse a model that is not the one a file or index was made with.

    Args:
        expert: with the model.
        fingerprint: of the model it should be.
        claim: who says so, for the message.

    Raises:
        ModelMismatchError: naming both and the fix.
    """
    if not same_model(expert.fingerprint, fingerprint):
        differs = "weights, vocabulary, pooling, prompts, truncation or precision"
        if fingerprint.startswith(SCHEME):
            differs = (
                "what it makes of four fixed texts, so another model answers there, or its settings changed"
            )
        raise ModelMismatchError(
            f"{claim}, but {expert.name!r} differs from it in {differs}: load the model it was made with, or fit and index "
            "anew"
        )
