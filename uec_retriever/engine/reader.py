"""Reader: what is known of an index without a search."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from uec_retriever.checks.numbers import check_temperature
from uec_retriever.confidence.model import staleness
from uec_retriever.data.progress import Watch, watching
from uec_retriever.data.records import Record, check_ids
from uec_retriever.data.texts import check_texts
from uec_retriever.engine.answers import records_of, right_records
from uec_retriever.engine.comparison import with_parts
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.judgements import Judgement, Judgements, right_answers
from uec_retriever.engine.words import Words
from uec_retriever.errors import InvalidInputError, ModelMismatchError, show
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import Where
from uec_retriever.store.manifest import Manifest

_logger = logging.getLogger(__name__)


class Reader:
    """Experts, and the records of the texts that they embedded; safe under threads.

    Args:
        ensemble: experts and manifest.
        store: the collection.
        folder: of the index.
    """

    def __init__(self, ensemble: Ensemble, store: ChromaStore, folder: IndexFolder) -> None:
        self._ensemble = ensemble
        self._folder = folder
        self.words = Words(store, folder)
        self.store = store
        self._loads = 0  # the manifest may have changed since it was read
        if (model := ensemble.confidence) and (stale := staleness(model.records, store.count())):
            _logger.warning("%s", stale)

    @property
    def ensemble(self) -> Ensemble:
        """Experts and their calibration as of now; recalibration puts another one in its place."""
        return self._ensemble

    @property
    def manifest(self) -> Manifest:
        """What made the index."""
        return self._ensemble.manifest

    @property
    def experts(self) -> list[Expert]:
        """The loaded experts, in the order of the manifest."""
        return list(self._ensemble.experts)

    def staleness(self) -> list[str]:
        """Which calibrations no longer fit the index, as it has grown or shrunk by a quarter since, each with its remedy."""
        count, model = self.count(), self._ensemble.confidence
        found = (self.manifest.staleness(count), model and staleness(model.records, count))
        return [told for told in found if told]

    def count(self) -> int:
        """Number of texts."""
        return self.store.count()

    def pages(self) -> Iterator[list[Record]]:
        """All records that were there when it began, a page of up to 1,000 at a time."""
        return self.store.pages()

    def ids(self, where: Where | None = None) -> list[str]:
        """Ids of all records that match a filter, in the order they were added; of all if None."""
        return self.store.ids(where)

    def get(self, ids: Sequence[str] | None = None, where: Where | None = None) -> list[Record]:
        """Records by id, in that order, absent ones left out, or all; those that match a filter, if there is one.

        Raises:
            InvalidInputError: for what is no list of ids, or no filter.
        """
        if ids is None:
            return [record for page in self.store.pages(where) for record in page]
        return self.store.get(check_ids(ids), where)

    def embed_queries(self, queries: Sequence[str]) -> Array:
        """`[n, D]` what the index is searched with, float32: means weighted by their coefficients."""
        return self._current().encode_queries(check_texts(queries, "query")).gaussian.mean

    def embed_documents(self, texts: Sequence[str]) -> Array:
        """`[n, D]` what texts would be stored as, float32; they are not stored."""
        texts, ensemble = check_texts(texts), self._current()
        if not texts:
            return np.empty((0, ensemble.manifest.dimension), dtype=np.float32)
        return ensemble.encode_documents(texts).gaussian.mean

    def index_words(self, progress: Watch = None) -> None:
        """Bring the lexical index up to the texts, as searching and adding do by themselves.

        Args:
            progress: True for a bar, if it takes over two seconds; or called with the number of texts indexed since.
        """
        with watching(progress, "Indexing words") as tell:
            self.words.follow(self._current().manifest.lexical, tell)

    def record_judgement(self, query: str, id: str, value: float = 1.0) -> None:
        """Keep in the index's folder that a record answers a query of a user, or that it does not.

        `judgements` gives them back, to calibrate by. Any number of threads and processes record at once, also while
        others write. What is recorded once this returns is kept by a kill of the process. It stays on this machine, also
        where a server has the texts, and when the record is deleted: delete the file in `judgements/` to forget it.

        Users judge what they are shown. Where right answers that were not shown are never recorded, the queries that
        failed are missing, and a confidence calibrated on the rest is too high.

        Args:
            query: as it was searched for.
            id: of the record, as in `Hit.id`, or of a document that the index has in pieces.
            value: 0 for a wrong answer, above 0 for a right one. The last one counts.

        Raises:
            InvalidInputError: for a query or an id that none can be, an id that the index does not hold (any more), a value
                that is no finite number >= 0, or an index in memory or in a temporary folder, where they would be lost.
            StorageError: if Chroma cannot be read, or the folder cannot be written.
        """
        kept, judgement = self._judgements, Judgement(query, id, value)
        if not with_parts(self.store, [judgement.id]):
            raise InvalidInputError(
                f"the index has neither a text nor a document of the id {show(judgement.id)}, which was judged: give the id of "
                "a hit (Hit.id); what was deleted since it was shown cannot be judged"
            )
        kept.record([judgement])

    def judgements(self) -> dict[str, set[str]]:
        """Query -> ids of the records that were judged right for it and are in the index: what `labelled=` takes.

        Of a document that was judged these are its pieces, but those judged wrong. Queries without any are left out: that none of those judged is
        right does not say that the index has no answer. A warning in the log counts judgements whose texts are gone.

        Raises:
            InvalidInputError: for an index in memory or in a temporary folder, which has none.
            StorageError: if they cannot be read.
        """
        values = self._judgements.values()
        right, wrong = right_answers(values), {judged for judged, value in values.items() if value <= 0}
        named = records_of(self.store, sorted(set().union(*right.values())))
        if gone := [i for ids in right.values() for i in sorted(ids) if i not in named]:
            _logger.warning(
                "passing over %d of %d judgements of right texts: these texts are no longer in the index, e.g. %s",
                len(gone),
                sum(map(len, right.values())),
                show(gone[0]),
            )
        found = right_records(right, named)
        left = {query: {i for i in ids if (query, i) not in wrong} for query, ids in found.items()}
        return {query: ids for query, ids in left.items() if ids}

    @property
    def _judgements(self) -> Judgements:
        return Judgements.of(self._folder, str(self.store.collection.id))

    def vectors_by_id(self, ids: Sequence[str]) -> dict[str, Array]:
        """Id -> `[D]` stored mean, float32, of those records that are there."""
        return self.store.vectors(check_ids(ids))

    def _current(self) -> Ensemble:
        """The ensemble, calibrated as stored if another process has changed the index since.

        Raises:
            ModelMismatchError: if something else is there than what was opened.
        """
        loads = self.store.loads()
        if loads != self._loads:
            self._adopt(self.store.read_manifest())
            self._loads = loads
        return self._ensemble

    def _adopt(self, stored: Manifest) -> None:
        """Search from now on with the calibration that is stored, whoever stored it."""
        if stored.fingerprint != self.manifest.fingerprint:
            raise ModelMismatchError(
                "the index has been made anew with other experts or posteriors: open it again"
            )
        if stored != self.manifest or stored.generation > self.manifest.generation:
            self._ensemble = self._ensemble.with_manifest(stored)

    def _at(self, temperature: float | None) -> tuple[Ensemble, str | None]:
        """The ensemble at a temperature, and why that has no confidence, if so."""
        ensemble = self._current()
        if temperature is None or check_temperature(temperature) == ensemble.manifest.temperature:
            return ensemble, None
        other = ensemble.at_temperature(temperature)
        reason = f"calibrated for the temperature {ensemble.manifest.temperature:g}: leave temperature out"
        return other, reason
