"""Build an index's manifest: posteriors fitted or given, experts calibrated together."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from uec_retriever.atomic import write_atomically
from uec_retriever.convolution import LAYOUTS, Layout
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.recalibrate import calibrate
from uec_retriever.errors import InvalidInputError, StorageError, UECError
from uec_retriever.experts.expert import Expert, attach_posterior
from uec_retriever.experts.fitting import Reference, fit_posterior, measure_reference
from uec_retriever.laplace.files import load_posterior, posterior_bytes
from uec_retriever.laplace.posterior import STRUCTURES
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.manifest import ExpertEntry, Manifest

_COLLECTION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")
Progress = Callable[[int], None]


def build_index(
    folder: IndexFolder,
    experts: Sequence[Expert],
    pairs: CalibrationPairs,
    *,
    posteriors: Mapping[str, Path],
    structure: str,
    layout: Layout,
    temperature: float | None,
    batch_size: int,
    progress: Progress | None,
) -> tuple[list[Expert], Manifest]:
    """Write posterior files into the folder; the experts with their posteriors, and the manifest.

    Arguments as `Engine.create`.
    """
    _check(folder, experts, posteriors, structure, layout, temperature)
    _, held = pairs.split()
    entries: list[ExpertEntry] = []
    references: list[Reference] = []
    fitted: list[Expert] = []
    for given in experts:
        expert, reference, digest, kind = _posterior(
            folder, given, pairs, held, posteriors.get(given.label), structure, batch_size, progress
        )
        fitted.append(expert)
        references.append(reference)
        entries.append(
            ExpertEntry(
                label=expert.label,
                model=expert.name,
                fingerprint=expert.fingerprint,
                dimension=expert.dimension,
                structure=kind,
                posterior=digest,
                query_zero=0.0,
                document_zero=0.0,
                prior=1.0,
                options=expert.options,
            )
        )
    manifest = Manifest(
        experts=tuple(entries),
        layout=layout,
        temperature=1.0,
        reference=f"{len(held)} pairs: {pairs.source}",
        versions={n: version(n) for n in ("uec-retriever", "chromadb", "sentence-transformers", "torch")},
    )
    return fitted, calibrate(manifest, references, temperature)


def _check(
    folder: IndexFolder,
    experts: Sequence[Expert],
    posteriors: Mapping[str, Path],
    structure: str,
    layout: str,
    temperature: float | None,
) -> None:
    """Everything that can be refused before hours of fitting."""
    _check_experts(experts, posteriors)
    if structure not in STRUCTURES:
        raise InvalidInputError(f"structure must be one of {sorted(STRUCTURES)}, got {structure!r}")
    if layout not in LAYOUTS:
        raise InvalidInputError(f"layout must be one of {sorted(LAYOUTS)}, got {layout!r}")
    if layout == "sum" and len({e.dimension for e in experts}) > 1:
        raise InvalidInputError(
            f"the sum layout needs experts of one dimension, got {[e.dimension for e in experts]}: "
            "use layout='block'"
        )
    if temperature is not None and not temperature >= 0:
        raise InvalidInputError(f"temperature must be >= 0, got {temperature}")
    if not _COLLECTION.fullmatch(folder.collection):
        raise InvalidInputError(
            f"the collection name {folder.collection!r} is none that Chroma takes: use 3 to 512 of a-z, A-Z, 0-9, "
            "'.', '_' and '-', with a letter or digit at both ends"
        )
    if ChromaStore.exists(folder.client(), folder.collection):
        raise StorageError(
            f"there is a collection {folder.collection!r} in {folder.url or folder.path} already: open it, "
            "delete it, or choose another folder or name"
        )


def _check_experts(experts: Sequence[Expert], posteriors: Mapping[str, Path]) -> None:
    if not experts:
        raise InvalidInputError("an index needs at least one expert")
    labels = [e.label for e in experts]
    if twice := [label for label, n in Counter(labels).items() if n > 1]:
        raise InvalidInputError(f"two experts are called {twice[0]!r}: give each a label of its own")
    if unknown := sorted(set(posteriors) - set(labels)):
        raise InvalidInputError(f"posteriors for {unknown}, but the experts are {labels}")
    for expert in experts:
        try:
            json.dumps(expert.options)
        except TypeError as error:
            raise InvalidInputError(
                f"the options of expert {expert.label!r} cannot be recorded in the index ({error}): give plain "
                "values, e.g. model_kwargs={'dtype': 'float16'}"
            ) from error


def _posterior(
    folder: IndexFolder,
    expert: Expert,
    pairs: CalibrationPairs,
    held: CalibrationPairs,
    given: Path | None,
    structure: str,
    batch_size: int,
    progress: Progress | None,
) -> tuple[Expert, Reference, str, str]:
    """An expert with its posterior, of which the folder gets a copy; reference, SHA-256 and structure."""
    if given is None:
        given = _earlier_fit(folder, expert, pairs, structure)
    if given is None:
        fit = fit_posterior(expert, pairs, structure=structure, batch_size=batch_size, progress=progress)
        expert, header, reference = fit.expert, fit.header, fit.reference
        data = posterior_bytes(fit.posterior, header)
    else:
        expert, header = attach_posterior(expert, given)
        data = given.read_bytes()
        reference = measure_reference(expert, held, batch_size=batch_size, progress=progress)
    digest = hashlib.sha256(data).hexdigest()
    write_atomically(folder.posterior_file(digest), data)
    return expert, reference, digest, header.structure


def _earlier_fit(folder: IndexFolder, expert: Expert, pairs: CalibrationPairs, structure: str) -> Path | None:
    """The posterior that an interrupted build left behind."""
    for path in sorted(folder.posterior_file("*").parent.glob("*.safetensors")):
        try:
            header = load_posterior(path)[1]
        except UECError:  # damaged, or of another version: no reason not to fit anew
            continue
        wanted = (expert.fingerprint, pairs.digest, structure)
        if (header.fingerprint, header.pairs_hash, header.structure) == wanted:
            return path
    return None
