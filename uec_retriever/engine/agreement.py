"""One policy for an index that is there: it is what was asked for, or the call is refused."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError, ModelMismatchError, StorageError, show
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fingerprint import same_model
from uec_retriever.laplace.files import load_posterior
from uec_retriever.store.lexical_options import LexicalOptions
from uec_retriever.store.manifest import Manifest

_logger = logging.getLogger(__name__)


def check_same_experts(manifest: Manifest, experts: Sequence[Expert], where: str) -> dict[str, Expert]:
    """Expert label in the index -> the expert given for it.

    Args:
        manifest: of the index.
        experts: none, or those that made it, in that order.
        where: the index is, for messages.

    Raises:
        ModelMismatchError: if they are others.
    """
    if not experts:
        return {}
    same = (same_model(e.fingerprint, m.fingerprint) for e, m in zip(experts, manifest.experts, strict=False))
    if len(experts) != len(manifest.experts) or not all(same):
        raise ModelMismatchError(
            f"the index {where} was made with {[entry.model for entry in manifest.experts]}: leave the experts out "
            "to add to it, or make another index with 'uec reindex'"
        )
    return {entry.label: expert for entry, expert in zip(manifest.experts, experts, strict=True)}


def check_agreement(manifest: Manifest, recipe: Recipe, where: str) -> None:
    """Refuse a recipe that says otherwise than the index; what is None in it agrees with anything.

    Args:
        manifest: of the index.
        recipe: what was asked for.
        where: the index is, for messages.

    Raises:
        InvalidInputError: naming what differs.
    """
    asked = {"structure": recipe.structure, "layout": recipe.layout, "temperature": recipe.temperature}
    there = {
        "structure": {e.structure for e in manifest.experts},
        "layout": {manifest.layout},
        "temperature": {manifest.temperature},
    }
    other = [
        f"{name} {value}" for name, value in asked.items() if value is not None and there[name] != {value}
    ]
    if words := _other_words(recipe.lexical, manifest.lexical):
        other.append(words)
    known = {e.posterior for e in manifest.experts}
    files = posterior_files(recipe.posteriors)
    if any(posterior_digest(Path(file)) not in known for file in files):
        other.append("posterior")
    if other:
        remedy = "change them with Engine.use_words ('uec words')"
        if other != [words]:
            remedy = "make another one with 'uec reindex'"
        raise InvalidInputError(
            f"the index {where} was made otherwise than {' and '.join(other)}: leave that out to add to it, or {remedy}"
        )
    if recipe.pairs is None or recipe.pairs.digest == manifest.pairs_digest:
        return
    if manifest.pairs_digest is None:
        _logger.warning(
            "the index %s does not tell on which pairs it is calibrated: yours are not used", where
        )
        return
    raise InvalidInputError(
        f"the index {where} is calibrated on other pairs ({manifest.reference}): leave yours out to add to it, or "
        "calibrate it on them with Engine.recalibrate ('uec recalibrate --pairs')"
    )


def _other_words(asked: LexicalOptions | bool | None, there: LexicalOptions | None) -> str | None:
    """How words were asked for otherwise than they are, None if they were not.

    True agrees with any, and options with the constant share with any share, as queries may have moved it.
    """
    if asked is None or (isinstance(asked, bool) and asked == (there is not None)):
        return None
    if isinstance(asked, bool) or there is None:
        return "with words" if asked else "without words"
    if asked.share == LexicalOptions.share:
        asked = replace(asked, share=there.share)
    known = asdict(there)
    return ", ".join(f"words of {k} {show(v)}" for k, v in asdict(asked).items() if v != known[k]) or None


def match_posteriors(
    experts: Sequence[Expert], posteriors: Mapping[str, str | Path] | Sequence[str | Path]
) -> dict[str, Path]:
    """Expert label -> its posterior file; a file given without a label finds its expert by itself.

    Raises:
        InvalidInputError: for a label that no expert has, or a file that is no posterior.
        ModelMismatchError: for a posterior of none of the experts.
    """
    labels = [e.label for e in experts]
    if isinstance(posteriors, Mapping):
        if unknown := sorted(set(posteriors) - set(labels)):
            raise InvalidInputError(f"posteriors for {unknown}, but the experts are {labels}")
        return {label: Path(file) for label, file in posteriors.items()}
    matched: dict[str, Path] = {}
    for file in posterior_files(posteriors):
        header = load_posterior(file)[1]
        label = next((e.label for e in experts if same_model(e.fingerprint, header.fingerprint)), None)
        if label is None:
            raise ModelMismatchError(
                f"the posterior {file} was fitted for {header.model!r}, which is none of the experts "
                f"{[e.name for e in experts]}: fit one for them with 'uec fit'"
            )
        matched[label] = file
    return matched


def posterior_files(posteriors: Mapping[str, str | Path] | Sequence[str | Path]) -> list[Path]:
    """The files, labelled or not."""
    return [Path(file) for file in (posteriors.values() if isinstance(posteriors, Mapping) else posteriors)]


def posterior_digest(file: Path) -> str:
    """SHA-256 (hex) of a posterior file.

    Raises:
        InvalidInputError: if it is not there.
        StorageError: if it cannot be read.
    """
    if not file.is_file():
        raise InvalidInputError(f"no posterior file at {file}: make one with 'uec fit'")
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from error
