"""What making an index out of texts takes: experts, pairs, agreement with an index that is there."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from uec_retriever.data.pairs import MINIMUM_PAIRS, CalibrationPairs, PairSampler
from uec_retriever.data.stdlib_docs import general_pairs
from uec_retriever.errors import InvalidInputError, ModelMismatchError
from uec_retriever.experts.expert import Expert
from uec_retriever.store.manifest import Manifest

logger = logging.getLogger(__name__)
_LIMIT = 640


def loaded(
    experts: Sequence[Expert | str | Path], *, device: str | None, trust_remote_code: bool
) -> list[Expert]:
    """Experts, those given by hub id or folder loaded."""
    if isinstance(experts, str | Path | Expert):
        raise InvalidInputError("expected a list of experts, got a single one: put it into a list")
    return [
        e
        if isinstance(e, Expert)
        else Expert.load(str(e), device=device, trust_remote_code=trust_remote_code)
        for e in experts
    ]


def pairs_from(texts: Iterable[str]) -> CalibrationPairs:
    """Pseudo-pairs of a corpus, or general ones where it is too small to make and hold out any."""
    sampler = PairSampler(_LIMIT)
    for text in texts:
        sampler.offer(text)
    try:
        pairs = sampler.pairs()
    except InvalidInputError:
        pairs = None
    if pairs is None or len(pairs) < 2 * MINIMUM_PAIRS:
        logger.warning(
            "too few texts to calibrate on: using %s instead. Give pairs=, or call recalibrate when there are more",
            "documentation of the Python standard library",
        )
        return general_pairs()
    return pairs


def check_same_experts(manifest: Manifest, experts: Sequence[Expert], where: str) -> dict[str, Expert]:
    """Expert label in the index -> the expert given for it.

    Raises:
        ModelMismatchError: if they are not those that made the index, in that order.
    """
    if [e.fingerprint for e in experts] != [entry.fingerprint for entry in manifest.experts]:
        raise ModelMismatchError(
            f"{where} was made with {[entry.model for entry in manifest.experts]}: leave the experts out to add "
            "to it, or make another index with 'uec reindex'"
        )
    return {entry.label: expert for entry, expert in zip(manifest.experts, experts, strict=True)}


def differences(
    manifest: Manifest, *, structure: str | None, layout: str | None, temperature: float | None
) -> list[str]:
    """Names of the options that say otherwise than the index; None agrees with anything."""
    return [
        name
        for name, asked, there in (
            ("structure", {structure}, {e.structure for e in manifest.experts}),
            ("layout", {layout}, {manifest.layout}),
            ("temperature", {temperature}, {manifest.temperature}),
        )
        if asked != {None} and asked != there
    ]
