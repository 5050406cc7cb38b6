"""Calibrator: the half of the engine that sets how much experts are trusted, and what confidence says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from uec_retriever.confidence.conformal import NONCONFORMITY
from uec_retriever.confidence.fit import ConfidenceReport
from uec_retriever.confidence.queries import pair_queries
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.progress import Watch, watching
from uec_retriever.engine.confidence import ConfidenceOptions, calibrate_confidence, known_queries
from uec_retriever.engine.coverage import CANDIDATES, CoverageReport, calibrate_coverage
from uec_retriever.engine.recalibrate import recalibrate
from uec_retriever.engine.recipe import Recipe
from uec_retriever.engine.share import ShareReport, choose_share
from uec_retriever.engine.writer import Writer
from uec_retriever.errors import InvalidInputError
from uec_retriever.store.lexical_options import LexicalOptions
from uec_retriever.store.manifest import Manifest


class Calibrator(Writer):
    """A writer whose experts can be calibrated anew, without embedding its texts anew."""

    def recalibrate(
        self, pairs: CalibrationPairs, *, temperature: float | None = None, progress: Watch = None
    ) -> Manifest:
        """Set zeros, priors, variance scales and temperature anew, without embedding anything again.

        Only pairs are encoded. In the sum layout documents carry coefficients, so there only
        `reindex` helps; another structure or curvature needs `reindex` in either layout, because
        stored variances cannot tell a text's features. Scores change, so a calibrated confidence and
        coverage are dropped: calibrate them again. Searches meanwhile are calibrated the old way throughout; other engines
        of this process, and all on a server, stay as they are until they write or are opened again, those of other
        processes in the folder take it over a moment later. From now on the index is one of these
        pairs: a recipe with others no longer agrees with it.

        Args:
            pairs: common calibration pairs, broad.
            temperature: T; chosen on the pairs if None.
            progress: True for a bar, if it takes over two seconds; or called with texts done; `2 len(pairs)` per expert.

        Returns:
            The new manifest; its `notes` say what is poor about it.

        Raises:
            InvalidInputError: in the sum layout.
            IndexBusyError: if another process writes, or calibrated meanwhile.
        """
        with self._writing() as ensemble:
            total = 2 * len(pairs) * len(ensemble.experts)
            with watching(progress, "Calibrating experts", total) as tell:
                return self._save(recalibrate(ensemble, pairs, temperature, tell), ensemble)

    def use_words(self, lexical: LexicalOptions | bool = True, *, progress: Watch = None) -> Manifest:
        """Have words be an expert of this index, in another way than now, or not: nothing is embedded anew.

        Scores change, so a calibrated confidence and coverage are dropped: calibrate them again.

        Args:
            lexical: how; True for as they are, or by default if there are none; False for no words.
            progress: True for a bar, if it takes over two seconds; or called with the number of texts whose words were indexed since.

        Returns:
            The new manifest.

        Raises:
            InvalidInputError: for anything else.
            IndexBusyError: if another process writes, or calibrated meanwhile.
        """
        options = Recipe(lexical=lexical).words
        with self._writing() as ensemble:
            if lexical is True and ensemble.manifest.lexical is not None:
                options = ensemble.manifest.lexical
            manifest = self.words.change(ensemble.manifest, options)
            self._ensemble = ensemble.with_manifest(manifest)
            with watching(progress, "Indexing words") as tell:
                self.words.follow(options, tell)
        return manifest

    def recalibrate_share(
        self,
        labelled: Mapping[str, Collection[str]] | None = None,
        *,
        pairs: CalibrationPairs | None = None,
        progress: Watch = None,
    ) -> ShareReport:
        """Set how much words are trusted, from queries of users whose right answers are known.

        The share that these like best is shrunk towards the constant, which was chosen on many collections: with 100
        queries halfway. Queries that were made from the texts share words with them, and mislead. Scores change, so a
        calibrated confidence is dropped: call `calibrate_confidence` again.

        Args:
            labelled: query -> ids of its right texts or documents, as many as there are.
            pairs: instead of these, queries of users and texts that answer them, which need not be in the index.
            progress: True for a bar, if it takes over two seconds; or called with the number of queries done.

        Returns:
            The share, and what it is good for on these queries, on which it was chosen.

        Raises:
            InvalidInputError: in an index without words, unless one of `labelled` and `pairs` is given, for a bad query,
                or if no query has an answer.
            IndexBusyError: if another process writes, or calibrated meanwhile.
            StorageError: if the lexical index cannot be read.
        """
        if (labelled is None) == (pairs is None):
            raise InvalidInputError("give labelled queries or pairs, one of them")
        if pairs is not None and pairs.source != "user":
            raise InvalidInputError(
                f"these pairs were made from texts ({pairs.source}), so their queries share words with them: give pairs of "
                "users' own queries"
            )
        with self._writing() as ensemble:
            manifest = ensemble.manifest
            if manifest.lexical is None:
                raise InvalidInputError(
                    "this index has no words to trust: call use_words ('uec words') first"
                )
            queries = known_queries(labelled or {}, self.store) if pairs is None else pair_queries(pairs)
            with watching(progress, "Searching", len(queries), unit="queries") as tell:
                report = choose_share(ensemble, self.store, self.words, queries, tell)
            options = replace(manifest.lexical, share=report.share)
            self._save(replace(manifest.without_confidence(), lexical=options), ensemble)
        return report

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
        progress: Watch = None,
    ) -> ConfidenceReport:
        """Have searches tell `SearchResult.confidence`, P(a right answer is among the first k).

        Without arguments no labels are needed: titles and first sentences of the index's own texts
        serve as queries, the rest of each text as its right answer, and the same search without that
        answer as one that cannot succeed, beside everyday questions off topic. Real queries are harder
        and other. So in an index with words this is averaged with a prior of real queries elsewhere (`confidence.prior`), and
        labels of your own make a better confidence, if they are some hundreds.

        Do it when the texts are in; again when they have changed a lot, and after `recalibrate`. It holds for searches
        without a filter and with at least as many candidates as for this k; others have none.

        Args:
            pairs: queries and texts that answer them, instead of those made from the index. The texts
                need not be in it.
            labelled: query -> ids of its right texts or documents, as many as there are; none if it is known to
                have no answer here.
            k: hits among which a right answer is to be.
            unanswerable: the share of queries without an answer in the index that you expect, in [0, 1).
                It sets how high the confidence is, and hardly in what order.
            limit: at most this many queries from the index.
            seed: of their sample.
            batch_size: texts in one forward pass.
            progress: True for a bar, if it takes over two seconds; or called with the number of queries done.

        Returns:
            How good it is on queries that it was not fitted on.

        Raises:
            InvalidInputError: for too few texts or queries, k not below the number of texts, or if
                nearly all searches succeed or fail.
            IndexBusyError: if another process writes, or calibrated meanwhile.
            StorageError: if the lexical index cannot be read.
        """
        options = ConfidenceOptions(k, unanswerable, limit, seed, batch_size)
        with self._writing() as ensemble:  # the texts stay as they are meanwhile
            with watching(progress, "Searching", unit="queries") as tell:
                model, report = calibrate_confidence(
                    ensemble, self.store, self.words, options, pairs, labelled, tell
                )
            self._save(replace(ensemble.manifest, confidence=model.to_string()), ensemble)
        return report

    def calibrate_coverage(
        self,
        labelled: Mapping[str, Collection[str]],
        *,
        candidates: int = CANDIDATES,
        nonconformity: str = NONCONFORMITY,
        progress: Watch = None,
    ) -> CoverageReport:
        """Have searches take `coverage=`: as many hits as a right one needs to be among them as often as asked.

        The promise (split conformal) is for queries like these whose answer is in the index, over all of them, on these
        texts: do it again when the texts have changed, and after `recalibrate`. It does not hold if these queries are not
        like those to come: made from the texts, judged by what a search had shown (`judgements`), or used to set the trust
        in words (`recalibrate_share`) before.

        Args:
            labelled: query -> ids of its right texts or documents, as many as there are; at least 9 for a coverage of .9, 19 for .95,
                and with some hundreds there are few hits more than needed.
            candidates: how many to fetch and rescore, >= 1: the more, the higher a coverage can be promised.
            nonconformity: what hits are counted by, out of `confidence.conformal.NONCONFORMITIES`; it decides how many
                there are, and not whether the promise holds. Choose it on other queries than these.
            progress: True for a bar, if it takes over two seconds; or called with the number of queries done.

        Returns:
            What the promise rests on, and the highest that can be made.

        Raises:
            InvalidInputError: for bad queries, or if none has a right record in the index.
            IndexBusyError: if another process writes, or calibrated meanwhile.
            StorageError: if the lexical index cannot be read.
        """
        with self._writing() as ensemble:  # the texts stay as they are meanwhile
            with watching(progress, "Searching", len(labelled), unit="queries") as tell:
                model, report = calibrate_coverage(
                    ensemble, self.store, self.words, labelled, candidates, nonconformity, tell
                )
            self._save(replace(ensemble.manifest, coverage=model.to_string()), ensemble)
        return report
