"""MTEB adapter: an ensemble as a model that `mteb.evaluate` takes, as an encoder and as a searcher.

    import mteb
    from uec_retriever.evaluation.mteb_adapter import UECModel

    mteb.evaluate(UECModel.open("my-index"), mteb.get_tasks(tasks=["SciFact", "STSBenchmark"]))

| MTEB asks for | it gets |
|---|---|
| search (retrieval, reranking) | exact search by the uncertainty-aware similarity, coefficients of each query and words included |
| embeddings of queries | `[pi_1 mu_1; ...]`, so that the dot product with a document is `sum_k pi_k cos_k` |
| embeddings of documents | `[mu_1; ...]` |
| embeddings of neither (STS, classification, clustering, ...) | `[sqrt(pi_1) mu_1; ...]`, unit vectors |

In the sum layout all three are unit vectors of the experts' dimension. Embeddings have no words; search has them unless
the index has none, or `lexical=False` says so, with the statistics of the corpus that MTEB has it index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from uec_retriever.engine.engine import Engine
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError, ModelMismatchError
from uec_retriever.evaluation.mteb_corpus import Corpus
from uec_retriever.evaluation.mteb_inputs import batch_texts, dataset_texts, encode_pages
from uec_retriever.evaluation.mteb_meta import model_meta, require_mteb
from uec_retriever.evaluation.mteb_words import CorpusWords
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.head import Role
from uec_retriever.gaussian import Array
from uec_retriever.store.lexical_options import LexicalOptions

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.model_meta import ModelMeta
    from mteb.types import PromptType


class UECModel:
    """An ensemble as MTEB's `EncoderProtocol` and `SearchProtocol`.

    A text without content (MTEB has some) is a zero vector: like nothing, found by nothing.

    Args:
        ensemble: experts and manifest, such as `engine.ensemble`.
        name: `organisation/model` for MTEB's results; made of the labels of the experts if None.
        uncertainty: search by the uncertainty-aware similarity; by its mean if False.
        temperature: T of the coefficients, instead of the manifest's (block layout only).
        lexical: words as an expert of search: False for none, True or `LexicalOptions` for what the manifest may lack;
            the manifest's if None.

    Raises:
        MissingExtraError: without the extra `mteb`.
        InvalidInputError: for a name, temperature or `lexical` that cannot be.
    """

    mteb_model_meta: ModelMeta

    def __init__(
        self,
        ensemble: Ensemble,
        *,
        name: str | None = None,
        uncertainty: bool = True,
        temperature: float | None = None,
        lexical: LexicalOptions | bool | None = None,
    ) -> None:
        self.ensemble = _with_words(ensemble.at_temperature(temperature), lexical)
        self.uncertainty = uncertainty
        self.mteb_model_meta = model_meta(self.ensemble, name, uncertainty=uncertainty)
        self._corpus: Corpus | None = None

    @classmethod
    def open(
        cls,
        location: str | Path | Location,
        *,
        name: str | None = None,
        uncertainty: bool = True,
        temperature: float | None = None,
        lexical: LexicalOptions | bool | None = None,
        **options: Any,
    ) -> UECModel:
        """The ensemble of an index; what the index holds does not matter.

        Args:
            location: folder of the index, or a `Location`.
            name: `organisation/model`; made of the labels of the experts if None.
            uncertainty: search by the uncertainty-aware similarity; by its mean if False.
            temperature: T of the coefficients, instead of the manifest's (block layout only).
            lexical: words, otherwise than the index has them: False for none, True, or `LexicalOptions`.
            **options: `experts`, `device` and `trust_remote_code` of `Engine.open`.
        """
        require_mteb()
        own: dict[str, Any] = {"uncertainty": uncertainty, "temperature": temperature, "lexical": lexical}
        with Engine.open(location, **options) as engine:
            model = cls(engine.ensemble, name=name, **own)
        place = str(location) if isinstance(location, Path) else location
        known = {"location": place, **own, **options}
        if _is_json(known):  # no `Location`, which may have secrets, and no loaded experts
            model.mteb_model_meta = model_meta(
                model.ensemble, name, uncertainty=uncertainty, loader=load_model, loader_options=known
            )
        return model

    @classmethod
    def from_experts(
        cls,
        experts: Sequence[Expert | str | Path],
        *,
        texts: Iterable[str] = (),
        recipe: Recipe | None = None,
        name: str | None = None,
        uncertainty: bool = True,
        **options: Any,
    ) -> UECModel:
        """An ensemble of models, fitted where there is no posterior, and calibrated together.

        Args:
            experts: loaded, or by hub id or folder.
            texts: a corpus that calibration pairs are made from, if the recipe has no pairs; never the
                evaluated queries. Without either, documentation of the Python standard library serves.
            recipe: how to calibrate them, and its `lexical`: words are an expert unless that is False.
            name: `organisation/model`; made of the labels of the experts if None.
            uncertainty: search by the uncertainty-aware similarity; by its mean if False.
            **options: `device`, `trust_remote_code`, `batch_size` and `progress` of `Engine.open_or_create`.
        """
        require_mteb()
        with Engine.open_or_create(None, experts, recipe, texts=texts, **options) as engine:
            return cls(engine.ensemble, name=name, uncertainty=uncertainty)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> Array:
        """`[n, D]` embeddings, float32.

        Args:
            inputs: batches with n strings under `text`.
            task_metadata: of the task; prompts of an expert by its name or type go before those of the role.
            hf_split: of the task.
            hf_subset: of the task.
            prompt_type: query, document, or None for neither.
            **kwargs: `batch_size`.
        """
        role: Role = (
            "text" if prompt_type is None else "query" if prompt_type.value == "query" else "document"
        )
        pages = encode_pages(self.ensemble, batch_texts(inputs), role, task_metadata, kwargs)
        means = [page.mean for page in pages]
        return np.concatenate(means) if means else np.empty((0, self.ensemble.manifest.dimension), np.float32)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """`[n, m]` dot products of embeddings `[n, D]` and `[m, D]`."""
        return _rows(embeddings1) @ _rows(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """`[n]` dot products of embeddings `[n, D]` and `[n, D]`, row by row."""
        return (_rows(embeddings1) * _rows(embeddings2)).sum(dim=1)

    def index(
        self,
        corpus: Any,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, Any],
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Encode a corpus and keep it in memory, instead of the one before.

        Args:
            corpus: dataset with the columns `id`, `text` and perhaps `title`.
            task_metadata: of the task.
            hf_split: of the task.
            hf_subset: of the task.
            encode_kwargs: `batch_size`.
            num_proc: processes that read the corpus.
            **kwargs: of later versions of MTEB.
        """
        self._corpus = None
        texts = dataset_texts(corpus, "document", task_metadata, num_proc)
        lexical = self.ensemble.manifest.lexical
        words = None if lexical is None else CorpusWords(lexical)
        texts = texts if words is None else words.reading(texts)
        pages = encode_pages(self.ensemble, texts, "document", task_metadata, encode_kwargs)
        self._corpus = Corpus(
            self.ensemble, list(corpus["id"]), pages, uncertainty=self.uncertainty, words=words
        )

    def search(
        self,
        queries: Any,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, Any],
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """Rank the corpus, or what another system found in it.

        Args:
            queries: dataset with the columns `id`, `text` and perhaps `instruction`.
            task_metadata: of the task.
            hf_split: of the task.
            hf_subset: of the task.
            top_k: at most so many documents for a query.
            encode_kwargs: `batch_size`.
            top_ranked: query id -> ids of documents to rank anew; the whole corpus if absent.
            num_proc: processes that read the queries.
            **kwargs: of later versions of MTEB.

        Returns:
            Query id -> document id -> score in [-1, 1], best first.
        """
        if self._corpus is None:
            raise InvalidInputError("there is no corpus to search in: call index first")
        ids = list(queries["id"])
        texts = list(dataset_texts(queries, "query", task_metadata, num_proc))
        found: list[dict[str, float]] = []
        for page in encode_pages(self.ensemble, texts, "query", task_metadata, encode_kwargs):
            rows = slice(len(found), len(found) + len(page))
            among = None if top_ranked is None else [list(top_ranked.get(i, ())) for i in ids[rows]]
            found += self._corpus.search(page, top_k, among, texts[rows])
        return dict(zip(ids, found, strict=True))


def load_model(name: str, revision: str | None = None, *, location: str, **options: Any) -> UECModel:
    """What `mteb_model_meta.load_model()` calls for a model of `UECModel.open`.

    Raises:
        ModelMismatchError: if the index is not the one that the revision stands for.
    """
    model = UECModel.open(location, name=name, **options)
    if revision not in (None, model.mteb_model_meta.revision):
        raise ModelMismatchError(
            f"the index {location} is another one by now than revision {revision} of {name}: open it anew with "
            "UECModel.open"
        )
    return model


def _with_words(ensemble: Ensemble, lexical: LexicalOptions | bool | None) -> Ensemble:
    """The same with words as an expert, or without; as it is for None, or if True asks for what is there."""
    words, known = Recipe(lexical=lexical).words, ensemble.manifest.lexical
    if lexical is None or (lexical is True and known is not None):
        return ensemble
    return ensemble.with_manifest(replace(ensemble.manifest, lexical=words))


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _rows(embeddings: Any) -> torch.Tensor:
    found = torch.as_tensor(embeddings).float()
    return found if found.ndim == 2 else found.unsqueeze(0)
