"""The engine: one index of texts, framework-neutral; LangChain, LlamaIndex and the CLI stand on it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from uec_retriever.adding import Progress, add_records
from uec_retriever.building import build_index
from uec_retriever.confidence_calibration import calibrate_confidence
from uec_retriever.confidence_fitting import ConfidenceReport
from uec_retriever.convolution import Layout
from uec_retriever.encoders.expert import Expert
from uec_retriever.ensemble import Ensemble
from uec_retriever.ensemble_calibration import calibrate
from uec_retriever.errors import InvalidInputError
from uec_retriever.fitting import measure_reference
from uec_retriever.folder import IndexFolder, load_experts
from uec_retriever.pairs import CalibrationPairs
from uec_retriever.results import AddReport, SearchResult
from uec_retriever.searching import search
from uec_retriever.store.chroma import DEFAULT_COLLECTION, ChromaStore, Where
from uec_retriever.store.manifest import Manifest
from uec_retriever.store.records import Record, make_records


class Engine:
    """An index of texts that is searched with all its experts at once.

    Make one with `Engine.create` or `Engine.open`. Searching is safe under threads; adding and
    deleting take the index's write lock.

    Args:
        ensemble: experts and manifest.
        store: the collection.
        folder: where posterior files and the lock live.
    """

    def __init__(self, ensemble: Ensemble, store: ChromaStore, folder: IndexFolder) -> None:
        self.ensemble = ensemble
        self.store = store
        self._folder = folder

    @classmethod
    def create(
        cls,
        path: str | Path,
        experts: Sequence[Expert],
        pairs: CalibrationPairs,
        *,
        posteriors: Mapping[str, str | Path] | None = None,
        structure: str = "kron",
        layout: Layout = "block",
        temperature: float | None = None,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> Engine:
        """Make an empty index: fit what has no posterior, calibrate the experts on common pairs.

        Args:
            path: folder of the index; made if absent.
            experts: one or more, with distinct labels.
            pairs: calibration pairs, see `pseudo_pairs` to make them from a corpus.
            posteriors: expert label -> posterior file, for those not to be fitted here.
            structure: of fitted posteriors, `kron` or `diag`.
            layout: `block`, or `sum` for experts of one coordinate system.
            temperature: T of the coefficients; chosen on held-out pairs if None.
            url: of a Chroma server; embedded in the folder if absent.
            headers: for the server.
            client: a Chroma client of your own, instead of `url`.
            collection: name of the Chroma collection.
            batch_size: texts in one forward pass.
            progress: called with texts done; `2 len(pairs)` per expert to fit.

        Raises:
            InvalidInputError: for arguments out of range.
            ModelMismatchError: if a posterior belongs to another model.
            StorageError: if there is an index already, or the folder cannot be written.
        """
        folder = IndexFolder(Path(path), url=url, headers=headers, client=client, collection=collection)
        experts = [copy(expert) for expert in experts]  # another index may hold them with another posterior
        manifest = build_index(
            folder,
            experts,
            pairs,
            posteriors={label: Path(p) for label, p in (posteriors or {}).items()},
            structure=structure,
            layout=layout,
            temperature=temperature,
            batch_size=batch_size,
            progress=progress,
        )
        with folder.write_lock():
            store = ChromaStore.create(folder.client(), collection, manifest)
        return cls(Ensemble(experts, manifest), store, folder)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        experts: Mapping[str, str | Path | Expert] | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        collection: str = DEFAULT_COLLECTION,
    ) -> Engine:
        """Open an index and load the experts that made it.

        Args:
            path: folder of the index.
            experts: expert label -> where its model is now, or a loaded expert.
            device: torch device for the experts.
            trust_remote_code: passed to the models. Off unless you say so.
            url: of a Chroma server; embedded in the folder if absent.
            headers: for the server.
            client: a Chroma client of your own, instead of `url`.
            collection: name of the Chroma collection.

        Raises:
            NotAnIndexError: if there is no index of ours.
            FormatVersionError: if another format version wrote it.
            ModelNotFoundError: if a model is gone.
            ModelMismatchError: if a model is not the one that made the index.
        """
        folder = IndexFolder(Path(path), url=url, headers=headers, client=client, collection=collection)
        store = ChromaStore.open(folder.client(existing=True), collection)
        loaded = load_experts(
            folder, store.manifest, experts or {}, device=device, trust_remote_code=trust_remote_code
        )
        return cls(Ensemble(loaded, store.manifest), store, folder)

    @staticmethod
    def exists(
        path: str | Path,
        *,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        collection: str = DEFAULT_COLLECTION,
    ) -> bool:
        """Whether there is a collection of that name, in the folder or on the server."""
        folder = IndexFolder(Path(path), url=url, headers=headers, collection=collection)
        if url is None and not folder.has_database:
            return False
        try:
            return ChromaStore.exists(folder.client(), collection)
        finally:
            folder.close()

    @property
    def manifest(self) -> Manifest:
        """What made the index."""
        return self.store.manifest

    @property
    def experts(self) -> list[Expert]:
        """The loaded experts, in the order of the manifest."""
        return self.ensemble.experts

    def close(self) -> None:
        """Let go of Chroma: of the folder's database or its server, but not of a client of your own."""
        if self._folder.owns_client:
            self.store.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def count(self) -> int:
        """Number of texts."""
        return self.store.count()

    def pages(self) -> Iterator[list[Record]]:
        """All records, a page at a time."""
        return self.store.pages()

    def get(self, ids: Sequence[str] | None = None, where: Where | None = None) -> list[Record]:
        """Records by id (in that order, absent ones left out), or all that match a filter."""
        if isinstance(ids, str):
            raise InvalidInputError("expected a list of ids, got a single one: put it into a list")
        return self.store.get(ids, where)

    def delete(self, ids: Sequence[str] | None = None, where: Where | None = None) -> int:
        """Delete records by id or by filter; unknown ids are passed over.

        Returns:
            How many were deleted.

        Raises:
            InvalidInputError: if neither or both are given.
        """
        if isinstance(ids, str):
            raise InvalidInputError("expected a list of ids, got a single one: put it into a list")
        if (ids is None) == (where is None):
            raise InvalidInputError("give ids or a filter to delete by, one of them")
        if where is not None and not where:
            raise InvalidInputError("an empty filter would delete every text: give one that says which")
        with self._folder.write_lock():
            return self.store.delete(ids, where)

    def add(
        self,
        texts: Iterable[str],
        ids: Sequence[str] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        update: bool = False,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> AddReport:
        """Add texts. Adding what is there changes nothing, so an interrupted call is just repeated.

        Args:
            texts: non-empty strings.
            ids: one each; made from text and metadata if absent.
            metadatas: one each, flat.
            update: replace texts whose id is there with other content, instead of refusing.
            batch_size: texts in one forward pass.
            progress: called with the number of texts done since; a text under one of K experts
                counts 1 / K.

        Raises:
            InvalidInputError: for a bad text, id or metadata; nothing is stored then.
            IdConflictError: if an id is there with another text or metadata and not `update`.
            NumericalError: if a model yields NaN or infinite vectors.
            StorageError: if the disk is full or the folder cannot be written.
        """
        return self.add_records(
            make_records(texts, ids, metadatas), update=update, batch_size=batch_size, progress=progress
        )

    def add_records(
        self,
        records: Iterable[Record],
        *,
        update: bool = False,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> AddReport:
        """Add a stream of checked records, of any length, in constant memory (see `add`)."""
        with self._folder.write_lock():
            return add_records(
                self.ensemble,
                self.store,
                records,
                update=update,
                batch_size=batch_size,
                progress=progress,
            )

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
    ) -> SearchResult:
        """The k best texts for a query.

        Args:
            query: non-empty.
            k: at least 1; more than there are texts gives them all.
            where: Chroma's metadata filter.
            candidates: how many to fetch and rescore, at least k; `max(30, 2 k)` if absent.
            temperature: T for this query, instead of the index's (block layout only).

        Raises:
            InvalidInputError: for an empty query, k < 1, or a filter Chroma cannot apply.
        """
        return self.search_batch([query], k, where=where, candidates=candidates, temperature=temperature)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
    ) -> list[SearchResult]:
        """`search` for many queries at once; same results, less time."""
        return search(
            self.ensemble,
            self.store,
            queries,
            k,
            where=where,
            candidates=candidates,
            manifest=self._with_temperature(temperature),
        )

    async def asearch(self, query: str, k: int = 10, **options: Any) -> SearchResult:
        """`search` in a thread, so that the event loop goes on (options as `search`)."""
        return await asyncio.to_thread(functools.partial(self.search, query, k, **options))

    async def aadd(self, texts: Iterable[str], **options: Any) -> AddReport:
        """`add` in a thread, so that the event loop goes on (options as `add`)."""
        return await asyncio.to_thread(functools.partial(self.add, texts, **options))

    def recalibrate(
        self, pairs: CalibrationPairs, *, temperature: float | None = None, progress: Progress | None = None
    ) -> Manifest:
        """Set zeros, priors, variance scales and temperature anew, without embedding anything again.

        Only pairs are encoded. In the sum layout documents carry coefficients, so there only
        `reindex` helps; another structure or curvature needs `reindex` in either layout, because
        stored variances cannot tell a text's features. Scores change, so a calibrated confidence is
        dropped: call `calibrate_confidence` again.

        Args:
            pairs: common calibration pairs, broad.
            temperature: T; chosen on the pairs if None.
            progress: called with texts done; `2 len(pairs)` per expert.

        Raises:
            InvalidInputError: in the sum layout.
        """
        if self.manifest.layout == "sum":
            raise InvalidInputError("the sum layout stores fused documents: use reindex instead")
        references = [measure_reference(e, pairs, progress=progress) for e in self.experts]
        entries = tuple(
            replace(entry, variance_factor=r.scale)
            for entry, r in zip(self.manifest.experts, references, strict=True)
        )
        scaled = [r.scaled(r.scale) for r in references]
        manifest = replace(
            self.manifest,
            experts=entries,
            reference=f"{len(pairs)} pairs: {pairs.source} (recalibrated)",
            confidence=None,
        )
        manifest = calibrate(manifest, scaled, temperature)
        with self._folder.write_lock():
            self.store.save_manifest(manifest)
        self.ensemble = Ensemble(self.experts, manifest)
        return manifest

    def calibrate_confidence(
        self,
        pairs: CalibrationPairs | None = None,
        *,
        labelled: Mapping[str, Collection[str]] | None = None,
        k: int = 10,
        unanswerable: float = 0.5,
        limit: int = 400,
        seed: int = 0,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> ConfidenceReport:
        """Have searches tell `SearchResult.confidence`, P(a right answer is among the first k).

        Without arguments no labels are needed: titles and first sentences of the index's own texts
        serve as queries, the rest of each text as its right answer, and the same search without that
        answer as one that cannot succeed, beside everyday questions off topic. Real queries are harder
        and other: labels of your own make a better confidence, if they are some hundreds.

        Do it when the texts are in; again when they have changed a lot, and after `recalibrate`. A
        metadata filter narrows the candidates, which this does not know of.

        Args:
            pairs: queries and texts that answer them, instead of those made from the index. The texts
                need not be in it.
            labelled: query -> ids of its right records, as many as there are; none if it is known to
                have no answer here.
            k: hits among which a right answer is to be.
            unanswerable: the share of queries without an answer in the index that you expect, in [0, 1).
                It sets how high the confidence is, and hardly in what order.
            limit: at most this many queries from the index.
            seed: of their sample.
            batch_size: texts in one forward pass.
            progress: called with the number of queries done.

        Returns:
            How good it is on queries that it was not fitted on.

        Raises:
            InvalidInputError: for too few texts or queries, k not below the number of texts, or if
                nearly all searches succeed or fail.
        """
        with self._folder.write_lock():  # the texts stay as they are meanwhile
            model, report = calibrate_confidence(
                self.ensemble,
                self.store,
                pairs,
                labelled,
                k=k,
                unanswerable=unanswerable,
                limit=limit,
                seed=seed,
                batch_size=batch_size,
                progress=progress,
            )
            manifest = replace(self.manifest, confidence=model.to_string())
            self.store.save_manifest(manifest)
            self.ensemble = Ensemble(self.experts, manifest)
        return report

    def copy_to(self, target: Engine, *, batch_size: int = 32, progress: Progress | None = None) -> AddReport:
        """Embed all texts of this index anew into another one: what `uec reindex` does.

        Repeating it after an interruption goes on where it stopped.

        Args:
            target: an index made with other experts, posteriors or layout.
            batch_size: texts in one forward pass.
            progress: called with the number of texts done.
        """
        records = (record for page in self.pages() for record in page)
        return target.add_records(records, update=True, batch_size=batch_size, progress=progress)

    def _with_temperature(self, temperature: float | None) -> Manifest:
        if temperature is None:
            return self.ensemble.manifest
        if self.manifest.layout == "sum":
            raise InvalidInputError("the sum layout fixes the temperature when documents are indexed")
        return replace(self.ensemble.manifest, temperature=temperature)
