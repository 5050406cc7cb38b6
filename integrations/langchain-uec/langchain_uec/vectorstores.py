"""UECVectorStore: an index of uec-retriever as a LangChain vector store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document

from langchain_uec.checks import ChecksOptions
from langchain_uec.diversity import DiverseSearches
from langchain_uec.documents import make_records, to_document
from langchain_uec.embeddings import IndexEmbeddings
from langchain_uec.engines import add_records, make_engine
from langchain_uec.together import search_one
from uec_retriever.data.records import check_not_empty
from uec_retriever.data.truncation import warn_of_cut_query
from uec_retriever.engine.closing import Closes
from uec_retriever.engine.existing import Existing, check_existing
from uec_retriever.engine.location import Location
from uec_retriever.engine.options import refuse_unknown, tells_keywords, with_candidates
from uec_retriever.engine.results import check_min_score

if TYPE_CHECKING:
    from langchain_uec.engines import Experts
    from uec_retriever import Engine, Recipe


_FROM_TEXTS = (
    *("texts", "embedding", "metadatas", "ids", "index", "engine", "recipe", "device", "batch_size"),
    *("existing", "show_progress"),
)


class UECVectorStore(Closes, ChecksOptions, DiverseSearches):
    """Texts that are searched with words and several embedding models at once.

    Opens the index, or makes an empty one if there is none. Texts come back with their own metadata only.
    Scores lie in [0, 1] and **higher is better**, also those of `similarity_search_with_score`, which for some
    other stores are distances. A context manager: `close` lets go of the index that it opened.

    Example:
        ```python
        store = UECVectorStore("idx", ["sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5"])
        store.add_documents(documents)  # the same id again replaces, the same content again changes nothing
        retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 6})
        ```

    Args:
        index: folder of the index, or a `Location` (a Chroma server, a client, a collection); a temporary folder, gone
            with the store, if None.
        embedding: one or more experts: names of models, loaded experts, other `Embeddings`. An index that is
            there needs none.
        engine: open engine, instead of everything else here.
        recipe: pairs, posteriors, structure, layout, temperature, lexical (words); one that is there must agree.
        texts: what calibration pairs are made from if the recipe has none; without texts too, documentation of the
            Python standard library serves, with a warning in the log.
        device: torch device of the experts; sentence-transformers' choice if None.
        show_progress: show a bar for fitting that takes over two seconds.

    Raises:
        InvalidInputError: if there is no index and no expert, or the index was made otherwise than asked.
        ModelMismatchError: if the index was made with other experts.
    """

    @tells_keywords
    def __init__(
        self,
        index: str | Path | Location | None = None,
        embedding: Experts | None = None,
        *,
        engine: Engine | None = None,
        recipe: Recipe | None = None,
        texts: Iterable[str] = (),
        device: str | None = None,
        show_progress: bool = False,
    ) -> None:
        self._owns_engine = engine is None
        if engine is None:
            self.engine, _ = make_engine(
                embedding, texts, index, recipe, device=device, show_progress=show_progress
            )
        else:
            from uec_retriever.engine.choice import choose_engine

            self.engine = choose_engine(engine, index, embedding=embedding, recipe=recipe, device=device)

    def close(self) -> None:
        """Close the index, for copies of this store too; an engine that was given stays open."""
        if self._owns_engine:
            self.engine.close()

    def __repr__(self) -> str:
        return f"UECVectorStore(experts={self.engine.ensemble.labels})"

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Experts | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        index: str | Path | Location | None = None,
        engine: Engine | None = None,
        recipe: Recipe | None = None,
        device: str | None = None,
        batch_size: int = 32,
        **options: Any,
    ) -> Self:
        """Make an index of texts, or add them to the one that is there; the same id replaces.

        Args:
            texts: non-empty strings; calibration pairs are made from them if the recipe has none.
            embedding: one or more experts: names of models, loaded experts, other `Embeddings`. An index that is
                there needs none.
            metadatas: one for each text, flat.
            ids: one for each text; where None, made from text and metadata.
            index: folder of the index, or a `Location`; a temporary folder, gone with the store, if None.
            engine: open engine to add to, instead of index, embedding and recipe.
            recipe: how to make an index; one that is there must agree.
            device: torch device of the experts; sentence-transformers' choice if None.
            batch_size: texts in one forward pass.
            **options: `existing` and `show_progress`, as for `add_texts`.

        Raises:
            InvalidInputError: for a bad text, id or metadata; nothing is made then. If there is no index and no
                expert, or it was made otherwise than asked.
            ModelMismatchError: if the index was made with other experts.
        """
        existing = options.pop("existing", "replace")
        show_progress = options.pop("show_progress", False)
        refuse_unknown(options, _FROM_TEXTS, "from_texts")
        check_existing(existing)
        records, _ = make_records(texts, ids, metadatas)
        check_not_empty(records)
        known = (record.text for record in records)
        making: Any = {"recipe": recipe, "device": device, "show_progress": show_progress}
        store = cls(index, embedding, engine=engine, texts=known, **making)
        add_records(store.engine, records, batch_size, existing, show_progress)
        return store

    @property
    def embeddings(self) -> IndexEmbeddings:
        """How this index embeds texts; other embeddings mean nothing to it."""
        return IndexEmbeddings(self.engine)

    @tells_keywords
    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        existing: Existing = "replace",
        batch_size: int = 32,
        show_progress: bool = False,
        **unknown: Any,
    ) -> list[str]:
        """Add texts; one whose id is there replaces it, and adding twice changes nothing.

        Args:
            texts: non-empty strings.
            metadatas: one for each, flat, see `uec_retriever.data.records.check_metadata`.
            ids: one for each; where None, made from text and metadata.
            existing: what becomes of a text whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            batch_size: texts in one forward pass.
            show_progress: show a bar for what takes over two seconds.
            **unknown: refused.

        Returns:
            The id of each.

        Raises:
            InvalidInputError: for a text, id or metadata that cannot be stored; nothing is stored then.
            IdConflictError: if one id stands for two different texts of the call, or is there with other content and
                `existing` is `refuse`.
        """
        records, named = make_records(texts, ids, metadatas)
        add_records(self.engine, records, batch_size, existing, show_progress)
        return named

    @tells_keywords
    def delete(
        self, ids: Sequence[str] | None = None, *, filter: Mapping[str, Any] | None = None, **unknown: Any
    ) -> bool:
        """Delete texts by id or by metadata filter; unknown ids are passed over.

        Raises:
            InvalidInputError: if neither or both are given: nothing deletes everything.
        """
        self.engine.delete(ids, filter)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by id, in that order; those that are not there are left out."""
        return [to_document(record) for record in self.engine.get(ids)]

    def similarity_search(
        self, query: str, k: int = 4, filter: Mapping[str, Any] | None = None, **options: Any
    ) -> list[Document]:
        """The k best documents for a query.

        Args:
            query: non-empty.
            k: at least 1.
            filter: Chroma's metadata filter.
            **options: `score_threshold`, lowest score in [0, 1]; `candidates`, how many to fetch from Chroma and
                rescore (`fetch_k` is taken for it); `temperature`, T of the coefficients instead of the index's own.
        """
        refuse_unknown(
            options,
            ["k", "filter", "score_threshold", "candidates", "fetch_k", "temperature"],
            "similarity_search",
        )
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, **options)]

    @tells_keywords
    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        *,
        score_threshold: float | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
        fetch_k: int | None = None,
    ) -> list[tuple[Document, float]]:
        """The k best documents with their scores: the uncertainty-aware similarity, not a distance.

        Args:
            query: non-empty.
            k: at least 1.
            filter: Chroma's metadata filter.
            score_threshold: leave out documents whose score is lower.
            candidates: how many to fetch from Chroma and rescore; `max(30, 2 k)` if None.
            temperature: T of the coefficients instead of the index's own.
            fetch_k: taken for `candidates`.

        Returns:
            Documents and scores in [0, 1], higher is better, best first.

        Raises:
            InvalidInputError: for an empty query, an option out of range, or a filter Chroma cannot apply.
        """
        check_min_score(score_threshold)
        named = with_candidates({"candidates": candidates, "fetch_k": fetch_k})
        result = search_one(self.engine, query, k=k, where=filter, temperature=temperature, **named)
        warn_of_cut_query(result.truncated)
        return [(to_document(hit), hit.score) for hit in result.best(score_threshold)]

    @tells_keywords
    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        *,
        candidates: int | None = None,
        fetch_k: int | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """The k best documents for a query embedding that `embeddings.embed_query` made.

        It has no words, and no variance of its own: a query's text finds more.

        Args:
            embedding: D floats.
            k: at least 1.
            filter: Chroma's metadata filter.
            candidates: how many to fetch from Chroma and rescore; `max(30, 2 k)` if None.
            fetch_k: taken for `candidates`.
            **unknown: refused.

        Raises:
            InvalidInputError: for another dimension than the index's.
        """
        named = with_candidates({"candidates": candidates, "fetch_k": fetch_k})
        result = self.engine.search_embedding(embedding, k, where=filter, **named)
        return [to_document(hit) for hit in result]
