"""The engine: one index of texts, framework-neutral; LangChain, LlamaIndex and the CLI stand on it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from uec_retriever.convolution import Layout
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.records import make_records
from uec_retriever.engine.add import Progress
from uec_retriever.engine.create import build_index
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.folder import IndexFolder, load_experts
from uec_retriever.engine.opening import check_same_experts, differences, loaded, pairs_from
from uec_retriever.engine.writer import Writer
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import Expert
from uec_retriever.store.chroma import DEFAULT_COLLECTION, ChromaStore
from uec_retriever.store.connection import check_client, keeps_nothing


class Engine(Writer):
    """An index of texts that is searched with all its experts at once.

    Make one with `Engine.from_texts`, `Engine.create` or `Engine.open`. Searching is safe under
    threads; adding and deleting take the index's write lock.
    """

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
        fitted, manifest = build_index(
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
        return cls(Ensemble(fitted, manifest), store, folder)

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

    @classmethod
    def open_or_create(
        cls,
        path: str | Path | None = None,
        experts: Sequence[Expert | str | Path] | None = None,
        *,
        texts: Iterable[str] = (),
        pairs: CalibrationPairs | None = None,
        posteriors: Mapping[str, str | Path] | None = None,
        structure: str | None = None,
        layout: Layout | None = None,
        temperature: float | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> Engine:
        """Open the index if it is there, else make it empty; arguments as `create` and `open`.

        Args:
            path: folder; a temporary one, gone with the engine, if None.
            experts: loaded, or by hub id or folder. An index that is there needs none.
            texts: what pairs are made from if there are none. Where that is too little, documentation of
                the Python standard library serves, with a warning in the log.
            pairs: calibration pairs of your own.
            posteriors: as `create`.
            structure: as `create`, `kron` if None.
            layout: as `create`, `block` if None.
            temperature: as `create`.
            device: as `open`.
            trust_remote_code: as `open`.
            url: as `create`.
            headers: as `create`.
            client: as `create`.
            collection: as `create`.
            batch_size: as `create`.
            progress: as `create`.

        Raises:
            InvalidInputError: if there is no index and no expert, or it was made otherwise than asked.
            ModelMismatchError: if the index was made with other experts.
        """
        connection: dict[str, Any] = {
            "url": url,
            "headers": headers,
            "client": client,
            "collection": collection,
        }
        temporary = _temporary_folder(url, client) if path is None else None
        place = Path(temporary or path or "")
        given = loaded(experts or [], device=device, trust_remote_code=trust_remote_code)
        if cls.exists(place, **connection):
            folder = IndexFolder(place, **connection)
            manifest = ChromaStore.open(folder.client(existing=True), collection).manifest
            named = check_same_experts(manifest, given, f"the index {url or place}") if given else {}
            other = differences(manifest, structure=structure, layout=layout, temperature=temperature)
            if other:
                raise InvalidInputError(
                    f"the index {url or place} has another {' and '.join(other)}: leave that out to add to it, or "
                    "make another one with 'uec reindex'"
                )
            return cls.open(
                place, experts=named, device=device, trust_remote_code=trust_remote_code, **connection
            )
        if not given:
            raise InvalidInputError(
                f"there is no index in {url or place} yet: to make one, give experts=[...], hub ids or folders"
            )
        try:
            engine = cls.create(
                place,
                given,
                pairs or pairs_from(texts),
                posteriors=posteriors,
                structure=structure or "kron",
                layout=layout or "block",
                temperature=temperature,
                batch_size=batch_size,
                progress=progress,
                **connection,
            )
        except BaseException:
            if temporary:
                shutil.rmtree(temporary, ignore_errors=True)
            raise
        if temporary:
            weakref.finalize(engine, shutil.rmtree, temporary, ignore_errors=True)
        return engine

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        experts: Sequence[Expert | str | Path] | None = None,
        path: str | Path | None = None,
        *,
        ids: Sequence[str] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        update: bool = False,
        **options: Any,
    ) -> Engine:
        """Make an index of texts, or add them to the one that is there.

        Args:
            texts: non-empty strings.
            experts: as `open_or_create`.
            path: as `open_or_create`.
            ids: as `add`.
            metadatas: as `add`.
            update: as `add`.
            **options: as `open_or_create`.
        """
        records = make_records(texts, ids, metadatas)
        engine = cls.open_or_create(path, experts, texts=(r.text for r in records), **options)
        engine.add_records(records, update=update)
        return engine

    @staticmethod
    def exists(
        path: str | Path,
        *,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        collection: str = DEFAULT_COLLECTION,
    ) -> bool:
        """Whether there is a collection of that name, in the folder or on the server."""
        folder = IndexFolder(Path(path), url=url, headers=headers, client=client, collection=collection)
        if url is None and client is None and not folder.has_database:
            return False
        try:
            return ChromaStore.exists(folder.client(), collection)
        finally:
            folder.close()

    def close(self) -> None:
        """Let go of Chroma: of the folder's database or its server, but not of a client of your own."""
        if self._folder.owns_client:
            self.store.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _temporary_folder(url: str | None, client: Any) -> str:
    """For an index without a folder: nothing may outlive its posterior files."""
    if url is not None or (client is not None and not keeps_nothing(check_client(client))):
        raise InvalidInputError(
            "a Chroma server keeps the texts, but posterior files need a folder: give path=..."
        )
    return tempfile.mkdtemp(prefix="uec-")
