"""Make an index: posteriors fitted or given, experts calibrated together; the manifest says how."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from uec_retriever.atomic import write_atomically
from uec_retriever.checks.numbers import check_temperature
from uec_retriever.convolution import LAYOUTS
from uec_retriever.data.pairs import CalibrationPairs, PairSampler
from uec_retriever.data.progress import FineProgress
from uec_retriever.engine.agreement import match_posteriors
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.recalibrate import calibrate
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError, StorageError, UECError, show
from uec_retriever.experts.attachment import attach_posterior
from uec_retriever.experts.expert import Expert, ExpertLike
from uec_retriever.experts.fingerprint import same_model
from uec_retriever.experts.fitting import (
    DEFAULT_STRUCTURE,
    DEFAULT_TAU,
    Reference,
    fit_posterior,
    measure_reference,
)
from uec_retriever.gaussian import GaussianEmbedding
from uec_retriever.laplace.basis import TOLERANCE, basis_error
from uec_retriever.laplace.files import load_posterior, posterior_bytes
from uec_retriever.laplace.posterior import STRUCTURES
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.lexical_options import WORDS
from uec_retriever.store.locks import LOCK_SUFFIX, LONGEST_NAME
from uec_retriever.store.manifest import ExpertEntry, Manifest

_COLLECTION = re.compile(rf"[a-zA-Z0-9][a-zA-Z0-9._-]{{1,{LONGEST_NAME - 2}}}[a-zA-Z0-9]")
_logger = logging.getLogger(__name__)


def build_ensemble(
    folder: IndexFolder,
    experts: Sequence[Expert],
    recipe: Recipe,
    *,
    batch_size: int,
    progress: FineProgress | None,
) -> Ensemble:
    """Write posterior files into the folder; nothing else is stored yet.

    Args:
        folder: of the index to be.
        experts: without posteriors; they stay so.
        recipe: its pairs must be there.
        batch_size: texts in one forward pass.
        progress: called with texts done; twice the pairs per expert to fit, twice the held-out ones for others.

    Raises:
        InvalidInputError: for arguments out of range.
        ModelMismatchError: if a posterior belongs to another model.
        StorageError: if there is an index already, or the folder cannot be written.
    """
    posteriors = _check(folder, experts, recipe)
    assert recipe.pairs is not None
    builder = _Builder(folder, recipe.pairs, recipe.structure or DEFAULT_STRUCTURE, batch_size, progress)
    members = [builder.member(expert, posteriors.get(expert.label)) for expert in experts]
    held = recipe.pairs.split()[1]
    manifest = Manifest(
        experts=tuple(m.entry for m in members),
        layout=recipe.layout or "block",
        temperature=1.0,
        reference=f"{len(held)} pairs: {recipe.pairs.source}",
        versions={n: version(n) for n in ("uec-retriever", "chromadb", "sentence-transformers", "torch")},
        pairs_digest=recipe.pairs.digest,
        pairs_source=recipe.pairs.source,
        records=recipe.pairs.corpus,
        heldout=recipe.pairs.can_hold_out,
        lexical=recipe.words,
    )
    manifest = calibrate(manifest, [m.reference for m in members], recipe.temperature)
    for note in manifest.notes:
        _logger.warning("%s", note)
    return Ensemble([m.expert for m in members], manifest)


def fitting_work(experts: Sequence[Expert], recipe: Recipe) -> int:
    """How many texts `build_ensemble` encodes, if nothing was fitted before.

    Args:
        experts: of the index to be.
        recipe: its pairs must be there.

    Raises:
        InvalidInputError: for posteriors that are none of these experts'.
    """
    assert recipe.pairs is not None
    given, held = match_posteriors(experts, recipe.posteriors), len(recipe.pairs.split()[1])
    return sum(2 * (held if e.label in given else len(recipe.pairs)) for e in experts)


def load_experts(
    experts: Sequence[ExpertLike], *, device: str | None, trust_remote_code: bool
) -> list[Expert]:
    """Experts, those given by name loaded, and other embeddings made experts.

    Raises:
        InvalidInputError: for a single one instead of a list, or something that embeds no texts.
        ModelNotFoundError: if one cannot be loaded.
    """
    if not isinstance(experts, Sequence) or isinstance(experts, str):
        raise InvalidInputError("expected a list of experts, got a single one: put it into a list")
    return [
        Expert.load(str(e), device=device, trust_remote_code=trust_remote_code)
        if isinstance(e, str | Path)
        else Expert.of(e)
        for e in experts
    ]


def pairs_of_texts(texts: Iterable[str]) -> CalibrationPairs:
    """Pseudo-pairs of the texts that an index is made for, or general ones where they are too few, or none."""
    sampler = PairSampler()
    for text in texts:
        sampler.offer(text)
    return sampler.pairs_or_general()


def _check(folder: IndexFolder, experts: Sequence[Expert], recipe: Recipe) -> dict[str, Path]:
    """Refuse all that can be before hours of fitting; returns expert label -> posterior file."""
    _check_experts(experts)
    posteriors = match_posteriors(experts, recipe.posteriors)
    if recipe.structure not in (None, *STRUCTURES):
        raise InvalidInputError(
            f"structure must be one of {sorted(STRUCTURES)}, got {show(recipe.structure)}"
        )
    if recipe.layout not in (None, *LAYOUTS):
        raise InvalidInputError(f"layout must be one of {sorted(LAYOUTS)}, got {show(recipe.layout)}")
    if recipe.layout == "sum" and len({e.dimension for e in experts}) > 1:
        raise InvalidInputError(
            f"the sum layout needs experts of one dimension, got {[e.dimension for e in experts]}: "
            "use layout='block'"
        )
    if recipe.temperature is not None:
        check_temperature(recipe.temperature)
    name = folder.location.collection
    if not _COLLECTION.fullmatch(name) or name.endswith(LOCK_SUFFIX):
        raise InvalidInputError(
            f"the collection name {show(name)} is none that Chroma takes: use 3 to {LONGEST_NAME} of a-z, A-Z, 0-9, "
            f"'.', '_' and '-', with a letter or digit at both ends and no {LOCK_SUFFIX!r} at the end"
        )
    if ChromaStore.exists(folder.client(), name):
        raise StorageError(
            f"there is a collection {show(name)} in {folder.location} already: open it, delete it, or choose another "
            "folder or name"
        )
    return posteriors


def _check_experts(experts: Sequence[Expert]) -> None:
    if not experts:
        raise InvalidInputError("an index needs at least one expert")
    labels = [e.label for e in experts]
    if WORDS in labels:
        raise InvalidInputError(f"an expert is called {WORDS!r}, as words are: give it another label")
    if twice := [label for label, n in Counter(labels).items() if n > 1]:
        raise InvalidInputError(f"two experts are called {show(twice[0])}: give each a label of its own")
    for expert in experts:
        try:
            json.dumps(expert.options)
        except TypeError as error:
            raise InvalidInputError(
                f"the options of expert {show(expert.label)} cannot be recorded in the index ({error}): give plain "
                "values, e.g. model_kwargs={'dtype': 'float16'}"
            ) from error


@dataclass(frozen=True, eq=False)
class _Member:
    """An expert with its posterior, what it makes of the held-out pairs, and its entry in the manifest."""

    expert: Expert
    reference: Reference
    entry: ExpertEntry


@dataclass(frozen=True, eq=False)
class _Builder:
    folder: IndexFolder
    pairs: CalibrationPairs
    structure: str
    batch_size: int
    progress: FineProgress | None

    def member(self, expert: Expert, given: Path | None) -> _Member:
        """Give an expert its posterior and the folder a copy of it."""
        given = given or self._earlier_fit(expert)
        if given is None:
            fit = fit_posterior(
                expert,
                self.pairs,
                structure=self.structure,
                batch_size=self.batch_size,
                progress=self.progress,
            )
            expert, header, reference = fit.expert, fit.header, fit.reference
            assert expert.posterior is not None
            data = posterior_bytes(expert.posterior, header)
        else:
            expert, header = attach_posterior(expert, given)
            data = given.read_bytes()
            held = self.pairs.split()[1]
            reference = measure_reference(expert, held, batch_size=self.batch_size, progress=self.progress)
        error = basis_error(
            GaussianEmbedding.concatenate([reference.queries, reference.positives]), expert.variance_basis
        )
        digest = hashlib.sha256(data).hexdigest()
        write_atomically(self.folder.posterior_file(digest), data)
        entry = ExpertEntry(
            label=expert.label,
            model=expert.name,
            fingerprint=expert.fingerprint,
            dimension=expert.dimension,
            structure=header.structure,
            posterior=digest,
            query_zero=0.0,
            document_zero=0.0,
            prior=1.0,
            options=expert.options,
            basis_error=error if error > TOLERANCE else None,
        )
        return _Member(expert, reference, entry)

    def _earlier_fit(self, expert: Expert) -> Path | None:
        """The posterior that an interrupted build left behind."""
        wanted = (self.pairs.digest, self.structure, DEFAULT_TAU)
        for path in self.folder.posterior_files():
            try:
                header = load_posterior(path)[1]
            except UECError:  # damaged, or of another version: no reason not to fit anew
                continue
            found = (header.pairs_hash, header.structure, header.numbers["tau"])
            if found == wanted and same_model(header.fingerprint, expert.fingerprint):
                return path
        return None
