"""The engine: one index of texts, framework-neutral; LangChain, LlamaIndex and the CLI stand on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.progress import Watch, watching
from uec_retriever.data.records import check_not_empty, make_records
from uec_retriever.engine.add import Execute
from uec_retriever.engine.agreement import check_agreement, check_same_experts
from uec_retriever.engine.calibrator import Calibrator
from uec_retriever.engine.closing import Closes
from uec_retriever.engine.copies import pickled, reopen
from uec_retriever.engine.create import build_ensemble, fitting_work, load_experts, pairs_of_texts
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.existing import Existing, accepts_update, check_existing
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.kept import keep_embeddings, without
from uec_retriever.engine.load import load_ensemble
from uec_retriever.engine.location import Location
from uec_retriever.engine.open import index_exists, open_store
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import ExpertLike
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.release import release_when_dropped


class Engine(Closes, Calibrator):
    """An index of texts that is searched with all its experts at once.

    Make one with `Engine.from_texts`, `Engine.create` or `Engine.open`. Searching is safe under
    threads; changes take the index's write lock.

    Pickling it keeps where the index is, without headers, and unpickling opens it there; a deep copy is the same
    engine. Chroma is let go of by `close`, at the end of a `with` block, or when the engine is gone.
    """

    def __init__(self, ensemble: Ensemble, store: ChromaStore, folder: IndexFolder) -> None:
        super().__init__(ensemble, store, folder)
        if folder.location.url is not None:
            release_when_dropped(store, store.client)  # not with the engine: reading may outlive it

    def __repr__(self) -> str:
        return f"Engine({self._folder.location!r}, experts={self.ensemble.labels!r})"

    @classmethod
    def create(
        cls,
        location: str | Path | Location,
        experts: Sequence[ExpertLike],
        recipe: Recipe | CalibrationPairs | None = None,
        *,
        batch_size: int = 32,
        progress: Watch = None,
    ) -> Engine:
        """Make an empty index: fit what has no posterior, calibrate the experts on common pairs.

        Args:
            location: folder of the index, made if absent, or a `Location`.
            experts: one or more, with distinct labels, or whatever `Expert.of` takes; they stay as they are.
            recipe: how to make it, or calibration pairs alone; `pseudo_pairs` makes them from a corpus. Without pairs,
                documentation of the Python standard library serves.
            batch_size: texts in one forward pass.
            progress: True for a bar, if it takes over two seconds; or called with texts done, `2 len(pairs)` per expert
                to fit.

        Returns:
            The index; `engine.manifest.notes` says what is poor about its calibration.

        Raises:
            InvalidInputError: for arguments out of range.
            ModelMismatchError: if a posterior belongs to another model.
            IndexBusyError: if another process writes to the folder.
            StorageError: if there is an index already, or the folder cannot be written.
        """
        recipe, given = Recipe.of(recipe), load_experts(experts, device=None, trust_remote_code=False)
        if recipe.pairs is None:
            recipe = replace(recipe, pairs=pairs_of_texts(()))
        folder = IndexFolder(Location.of(location))
        with folder.closing_on_errors():
            kept = keep_embeddings(given, folder.embeddings)
            work = fitting_work(kept, recipe) if progress is True else None
            with watching(progress, "Fitting experts", work) as tell:
                ensemble = build_ensemble(folder, kept, recipe, batch_size=batch_size, progress=tell)
            ensemble = without(ensemble)
            with folder.write_lock():
                store = ChromaStore.create(
                    folder.client(), folder.location.collection, ensemble.manifest, folder.home
                )
        return cls(ensemble, store, folder)

    @classmethod
    def open(
        cls,
        location: str | Path | Location,
        *,
        experts: Mapping[str, ExpertLike] | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
    ) -> Engine:
        """Open an index and load the experts that made it.

        Args:
            location: folder of the index, or a `Location`.
            experts: expert label -> where its model is now, or what embeds texts for it: a loaded expert, or whatever
                `Expert.of` takes.
            device: torch device for the experts; sentence-transformers' choice if None.
            trust_remote_code: run code that comes with the models. Off unless you say so.

        Raises:
            NotAnIndexError: if there is no index of ours.
            FormatVersionError: if another format version wrote it.
            ModelNotFoundError: if a model is gone.
            ModelMismatchError: if a model is not the one that made the index.
        """
        folder, store, manifest = open_store(Location.of(location))
        with folder.closing_on_errors():
            ensemble = load_ensemble(
                folder, manifest, experts or {}, device=device, trust_remote_code=trust_remote_code
            )
        return cls(ensemble, store, folder)

    @classmethod
    def open_or_create(
        cls,
        location: str | Path | Location | None = None,
        experts: Sequence[ExpertLike] | None = None,
        recipe: Recipe | CalibrationPairs | None = None,
        *,
        texts: Iterable[str] = (),
        device: str | None = None,
        trust_remote_code: bool = False,
        batch_size: int = 32,
        progress: Watch = None,
    ) -> Engine:
        """Open the index if it is there, else make it empty.

        Args:
            location: folder of the index, or a `Location`; a temporary folder, gone with the engine, if None.
            experts: loaded, by name (`Expert.load`), or whatever embeds texts (`Expert.of`). An index that is there needs
                none, except those that cannot be loaded by name.
            recipe: how to make it, or pairs alone; one that is there must agree.
            texts: what pairs are made from if there are none. Where that is too little, documentation of
                the Python standard library serves; `engine.manifest.notes` tells.
            device: torch device for the experts; sentence-transformers' choice if None.
            trust_remote_code: run code that comes with the models. Off unless you say so.
            batch_size: texts in one forward pass.
            progress: True for a bar, if it takes over two seconds; or called with texts done, `2 len(pairs)` per expert
                to fit.

        Raises:
            InvalidInputError: if there is no index and no expert, or it was made otherwise than asked.
            ModelMismatchError: if the index was made with other experts.
        """
        location, recipe = Location.of(location), Recipe.of(recipe)
        given = load_experts(experts or [], device=device, trust_remote_code=trust_remote_code)
        if (location.path or location.client) is not None and cls.exists(location):
            folder, store, manifest = open_store(location)
            with folder.closing_on_errors():
                named = check_same_experts(manifest, given, str(location))
                check_agreement(manifest, recipe, str(location))
                ensemble = load_ensemble(
                    folder, manifest, named, device=device, trust_remote_code=trust_remote_code
                )
            return cls(ensemble, store, folder)
        if not given:
            raise InvalidInputError(
                f"there is no index in {location} yet: to make one, give experts=[...], hub ids or folders"
            )
        if recipe.pairs is None:
            recipe = replace(recipe, pairs=pairs_of_texts(texts))
        return cls.create(location, given, recipe, batch_size=batch_size, progress=progress)

    @classmethod
    @accepts_update
    def from_texts(
        cls,
        texts: Sequence[str],
        experts: Sequence[ExpertLike] | None = None,
        location: str | Path | Location | None = None,
        recipe: Recipe | CalibrationPairs | None = None,
        *,
        ids: Sequence[str] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        existing: Existing = "replace",
        device: str | None = None,
        batch_size: int = 32,
        progress: Watch = None,
        execute: Execute | None = None,
    ) -> Engine:
        """Make an index of texts, or add them to the one that is there.

        A model that brings code of its own is given loaded: `Expert.load(name, trust_remote_code=True)`.

        Args:
            texts: non-empty strings; calibration pairs are made from them if the recipe has none.
            experts: loaded, by name (`Expert.load`), or whatever embeds texts (`Expert.of`). An index that is there needs
                none, except those that cannot be loaded by name.
            location: folder of the index, or a `Location`; a temporary folder, gone with the engine, if None.
            recipe: how to make it, or pairs alone; one that is there must agree.
            ids: one each; where absent or None, made from text and metadata.
            metadatas: one each, flat, see `data.records.check_metadata`.
            existing: what becomes of a text whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            device: torch device for the experts; sentence-transformers' choice if None.
            batch_size: texts in one forward pass.
            progress: True for a bar, if it takes over two seconds; or called with texts done, twice the pairs per expert
                to fit, then each text once.
            execute: encodes the texts elsewhere, as for `add`; pairs are encoded here.

        Returns:
            The index; `engine.manifest.notes` says what is poor about its calibration.

        Raises:
            InvalidInputError: for a bad text, id or metadata, or no text at all, before anything is made; if there is no index and no
                expert, or it was made otherwise than asked.
            ModelMismatchError: if the index was made with other experts.
            IdConflictError: if one id stands for two different texts of the call, or is there with other content and
                `existing` is `refuse`.
        """
        check_existing(existing)
        records = make_records(texts, ids, metadatas)
        check_not_empty(records)
        engine = cls.open_or_create(
            location,
            experts,
            recipe,
            texts=(r.text for r in records),
            device=device,
            batch_size=batch_size,
            progress=progress,
        )
        try:
            engine.add_records(
                records, existing=existing, batch_size=batch_size, progress=progress, execute=execute
            )
        except BaseException:
            if engine._folder.location.url is None:
                engine.close()
            raise
        return engine

    @classmethod
    def exists(cls, location: str | Path | Location) -> bool:
        """Whether there is an index, or another collection of its name, in a folder or on a server."""
        return index_exists(Location.of(location))

    def close(self) -> None:
        """Let go of Chroma: of the folder's database or its server, but not of a client of your own."""
        self.words.close()
        self._folder.embeddings.close()
        if self._folder.location.client is None:
            self.store.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle where the index is; unpickling opens it."""
        return reopen, pickled(self, self._folder.location)

    def __deepcopy__(self, memo: object) -> Engine:
        """The same engine, which is safe under threads."""
        return self
