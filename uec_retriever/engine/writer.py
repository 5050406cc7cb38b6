"""Writer: the changing half of the engine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from uec_retriever.data.progress import Watch, count_of, watching
from uec_retriever.data.records import Record, check_ids, make_records
from uec_retriever.data.truncation import SHOWN, warn_of_truncation
from uec_retriever.engine.add import Execute, add_records
from uec_retriever.engine.comparison import reads
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.existing import Existing, accepts_update
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.judgements import Judgements
from uec_retriever.engine.kept import hand_over, keep_embeddings, keeping
from uec_retriever.engine.results import AddReport
from uec_retriever.engine.searcher import Searcher
from uec_retriever.engine.sync import Absent, SyncReport
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import Expert
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import Where
from uec_retriever.store.filters import chroma_where
from uec_retriever.store.manifest import Manifest


class Writer(Searcher):
    """A searcher whose texts can be changed; what many writers may do, `Location` says.

    Args:
        ensemble: experts and manifest.
        store: the collection.
        folder: of the index.
    """

    def __init__(self, ensemble: Ensemble, store: ChromaStore, folder: IndexFolder) -> None:
        super().__init__(ensemble, store, folder)
        folder.hand_over()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Ensemble]:
        """Hold the write lock; yields experts with the calibration that is stored now, whoever stored it.

        Raises:
            IndexBusyError: if another process writes.
            ModelMismatchError: if something else is there than what was opened.
        """
        with self._folder.write_lock():
            self._adopt(self.store.read_manifest())
            yield self._ensemble

    def _save(self, manifest: Manifest, ensemble: Ensemble) -> Manifest:
        """Store a manifest that was made from that of an ensemble; searches from now on use it."""
        saved = self.store.save_manifest(manifest, replacing=ensemble.manifest)
        self._ensemble = ensemble.with_manifest(saved)
        return saved

    def delete(self, ids: Sequence[str] | None = None, where: Where | None = None) -> int:
        """Delete records by id or by filter; unknown ids are passed over.

        Args:
            ids: of the records.
            where: Chroma's metadata filter, not empty.

        Returns:
            How many were deleted.

        Raises:
            InvalidInputError: if neither or both are given, for what is no list of ids or no filter, or one that
                every record matches.
            IndexBusyError: if another process writes.
        """
        if (ids is None) == (where is None):
            raise InvalidInputError("give ids or a filter to delete by, one of them")
        if ids is not None:
            ids = check_ids(ids)
        elif chroma_where(where) is None:
            raise InvalidInputError("this filter would delete every text: give one that says which")
        with self._folder.write_lock():
            deleted = self.store.delete(self.store.ids(where) if ids is None else ids)
            self.store.compact()
            self.words.follow(self.manifest.lexical)
        return deleted

    @accepts_update
    def add(
        self,
        texts: Iterable[str],
        ids: Sequence[str] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        existing: Existing = "replace",
        batch_size: int = 32,
        progress: Watch = None,
        execute: Execute | None = None,
    ) -> AddReport:
        """Add texts. Adding what is there changes nothing, so an interrupted call is just repeated.

        Args:
            texts: non-empty strings.
            ids: one each; where absent or None, made from text and metadata.
            metadatas: one each, flat, see `data.records.check_metadata`.
            existing: what becomes of a text whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            batch_size: texts in one forward pass.
            progress: True for a bar, if it takes over two seconds; or called with the number of texts done since, where
                a text under one of K experts counts 1 / K.
            execute: encodes elsewhere, e.g. `ray_encoder.RayEncoder(...)`; here if None.

        Raises:
            InvalidInputError: for a bad text, id or metadata; nothing is stored then.
            IdConflictError: if one id stands for two different texts of the call, or is there with other content and
                `existing` is `refuse`.
            NumericalError: if a model yields NaN or infinite vectors.
            ModelMismatchError: if a worker of `execute` loads another model than the index's.
            IndexBusyError: if another process writes.
            StorageError: if the disk is full or the folder cannot be written.
        """
        return self.add_records(
            make_records(texts, ids, metadatas),
            existing=existing,
            batch_size=batch_size,
            progress=progress,
            execute=execute,
        )

    @accepts_update
    def add_records(
        self,
        records: Iterable[Record],
        *,
        existing: Existing = "replace",
        whole: bool = True,
        batch_size: int = 32,
        progress: Watch = None,
        execute: Execute | None = None,
    ) -> AddReport:
        """Add a stream of checked records, of any length, of which only ids are held; warn of texts that experts cut.

        Args:
            records: as `make_records` gives them.
            existing: what becomes of a record, or a document, that is there with other content: the new one takes its place
                (`replace`), the call is refused (`refuse`), or the one that is there stays (`skip`).
            whole: records with a `source` are all that there is of that document, one after the other: what else the index
                has of it, pieces or the text unsplit, goes or stays with them. False if the call may hold a part of it alone.
            batch_size: texts in one forward pass.
            progress: True for a bar, if it takes over two seconds; or called with the number of texts done since, where
                a text under one of K experts counts 1 / K.
            execute: encodes elsewhere, e.g. `ray_encoder.RayEncoder(...)`; here if None.

        Raises:
            IdConflictError: if one id stands for two different texts of the call, or is there with other content and
                `existing` is `refuse`.
            NumericalError: if a model yields NaN or infinite vectors.
            ModelMismatchError: if a worker of `execute` loads another model than the index's.
            IndexBusyError: if another process writes.
            StorageError: if the disk is full or the folder cannot be written.
        """
        with self._writing() as ensemble:
            options = existing, whole, batch_size, progress, execute
            return self._add(ensemble, records, *options, count_of(records))

    def sync(
        self,
        records: Iterable[Record],
        *,
        batch_size: int = 32,
        progress: Watch = None,
        execute: Execute | None = None,
    ) -> SyncReport:
        """Make the index equal to a corpus: add what is new, replace what changed, delete what is gone.

        Deleted is at the end, when all of the corpus was read and stored: one that fails midway deletes nothing. What
        others add meanwhile stays.

        Args:
            records: all of the corpus, a stream of any length; only ids are held.
            batch_size: texts in one forward pass.
            progress: True for a bar, if it takes over two seconds; or called with the number of texts done since, where
                a text under one of K experts counts 1 / K.
            execute: encodes elsewhere, as for `add`; here if None.

        Raises:
            InvalidInputError: if the corpus is empty.
            IdConflictError: if one id stands for two different texts of the corpus.
            NumericalError: if a model yields NaN or infinite vectors.
            ModelMismatchError: if a worker of `execute` loads another model than the index's.
            IndexBusyError: if another process writes.
            StorageError: if the disk is full or the folder cannot be written.
        """
        with self._writing() as ensemble:
            there = self.store.ids()
            absent = Absent(there)
            change = self._add(
                ensemble,
                absent.watch(records),
                "replace",
                False,
                batch_size,
                progress,
                execute,
                count_of(records),
            )
            absent.refuse_empty()
            gone = absent.ids()
            deleted = self.store.delete(gone)
            if deleted:
                self._tidy(ensemble)
            return SyncReport(change, deleted, len(there), self.store.count(), tuple(gone[:SHOWN]))

    def _add(
        self,
        ensemble: Ensemble,
        records: Iterable[Record],
        existing: Existing,
        whole: bool,
        batch_size: int,
        progress: Watch,
        execute: Execute | None,
        total: int | None,
    ) -> AddReport:
        with watching(progress, "Embedding texts", total) as tell:
            report = add_records(
                keeping(ensemble, self._folder.embeddings) if execute is None else ensemble,
                self.store,
                records,
                existing=existing,
                whole=whole,
                batch_size=batch_size,
                progress=tell,
                execute=execute,
                stored=functools.partial(self.words.stored, ensemble.manifest.lexical),
            )
            self._tidy(ensemble)
        warn_of_truncation(report.truncated, report.truncated_ids)
        return report

    def _tidy(self, ensemble: Ensemble) -> None:
        """Let go of what a change made needless, and have the words follow it."""
        self.store.compact()
        self.words.follow(ensemble.manifest.lexical)

    @property
    def keeping_experts(self) -> list[Expert]:
        """The experts, to make another index: they embed no text anew whose embedding is kept beside this one."""
        if not os.access(self._folder.path, os.W_OK):
            return list(self._current().experts)
        return keep_embeddings(self._current().experts, self._folder.embeddings)

    async def aadd(self, texts: Iterable[str], **options: Any) -> AddReport:
        """Add texts in a thread, so that the event loop goes on.

        Args:
            texts: non-empty strings.
            **options: `ids`, `metadatas`, `existing`, `batch_size`, `progress` and `execute` of `add`.
        """
        return await asyncio.to_thread(functools.partial(self.add, texts, **options))

    def copy_to(
        self,
        target: Writer,
        *,
        batch_size: int = 32,
        progress: Watch = None,
        execute: Execute | None = None,
    ) -> AddReport:
        """Put all texts of this index into another one: what `uec reindex` does.

        They are embedded anew, except by experts with an identity head on a server that both indexes have. Repeating it
        after an interruption goes on where it stopped. Judgements go along.

        Args:
            target: an index made with other experts, posteriors or layout.
            batch_size: texts in one forward pass.
            progress: True for a bar, if it takes over two seconds; or called with the number of texts done.
            execute: encodes elsewhere, as for `add`.
        """
        ours, theirs = self._current(), keeping(target._current(), target._folder.embeddings)

        def records() -> Iterator[Record]:
            for page in self.pages():
                if any(e.cache is not None for e in theirs.experts):
                    there = {r.id: reads(r) for r in target.store.get([r.id for r in page])}
                    lacking = [r.id for r in page if there.get(r.id) != reads(r)]
                    hand_over(ours, theirs, page, self.vectors_by_id(lacking) if lacking else {})
                yield from page

        with watching(progress, "Embedding texts", self.count() if progress is True else None) as tell:
            report = target.add_records(
                records(), whole=False, batch_size=batch_size, progress=tell, execute=execute
            )
        if Judgements.lasts(self._folder) and Judgements.lasts(target._folder):
            self._judgements.copy_to(target._judgements)
        return report
