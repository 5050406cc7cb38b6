"""What MTEB hands to a model, as Gaussians of an ensemble, a page at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from uec_retriever.data.texts import text_problem
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.errors import InvalidInputError, NumericalError
from uec_retriever.experts.head import Role
from uec_retriever.gaussian import GaussianEmbedding

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata

logger = logging.getLogger(__name__)
PAGE = 2048  # texts whose variances are in memory at once
_BATCH_SIZE = 32


def batch_texts(batches: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Texts of MTEB's batches."""
    for batch in batches:
        yield from batch["text"]


def dataset_texts(dataset: Any, kind: str, task: TaskMetadata, num_proc: int | None) -> Iterator[str]:
    """Texts of a corpus or of queries, put together as MTEB does it for any of its models.

    Args:
        dataset: with the columns `id`, `text`, and perhaps `title` or `instruction`.
        kind: `document` or `query`.
        task: of the dataset.
        num_proc: processes that read it.
    """
    from mteb._create_dataloaders import create_dataloader
    from mteb.types import PromptType

    if len(dataset) == 0:
        return iter(())
    loader = create_dataloader(
        dataset, task_metadata=task, prompt_type=PromptType(kind), batch_size=PAGE, num_proc=num_proc
    )
    return batch_texts(loader)


def encode_pages(
    ensemble: Ensemble, texts: Iterable[str], role: Role, task: TaskMetadata, options: Mapping[str, Any]
) -> Iterator[GaussianEmbedding]:
    """Gaussians of texts in the layout of the ensemble, PAGE at a time.

    A text without content, or one that a model has no direction for, is a zero vector without variance.

    Args:
        ensemble: what encodes.
        texts: any; what no model can read is taken out of them.
        role: of the texts.
        task: prompts of an expert by its name or type go before those of the role.
        options: MTEB's `encode_kwargs`, of which `batch_size` counts.

    Raises:
        InvalidInputError: for another `precision` than float32.
    """
    if options.get("precision") not in (None, "float32"):
        raise InvalidInputError(f"embeddings are float32: leave precision={options['precision']!r} out")
    prompts = prompt_names(task, role)
    batch_size = options.get("batch_size", _BATCH_SIZE)
    page: list[str] = []
    for text in texts:
        page.append(_clean(text))
        if len(page) == PAGE:
            yield _encode(ensemble, page, role, prompts, batch_size)
            page = []
    if page:
        yield _encode(ensemble, page, role, prompts, batch_size)


def prompt_names(task: TaskMetadata, role: Role) -> list[str]:
    """Names of prompts that MTEB prefers to those of the role, the first first."""
    kind = [] if role == "text" else [f"-{role}"]
    return [f"{about}{suffix}" for about in (task.name, task.type) for suffix in (*kind, "")]


def _encode(
    ensemble: Ensemble, texts: list[str], role: Role, prompts: Sequence[str], batch_size: int
) -> GaussianEmbedding:
    shape = (len(texts), ensemble.manifest.dimension)
    mean, variance = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    rows = [i for i, text in enumerate(texts) if text_problem(text) is None]
    while rows:
        try:
            found = _gaussians(ensemble, [texts[i] for i in rows], role, prompts, batch_size)
        except NumericalError as error:
            if error.position is None:
                raise
            logger.warning("taken for a text without content: %s", error)
            del rows[error.position]
        else:
            mean[rows], variance[rows] = found.mean, found.variance
            break
    return GaussianEmbedding(mean, variance)


def _gaussians(
    ensemble: Ensemble, texts: list[str], role: Role, prompts: Sequence[str], batch_size: int
) -> GaussianEmbedding:
    if role == "query":
        return ensemble.encode_queries(texts, batch_size=batch_size, prompts=prompts).gaussian
    encode = ensemble.encode_documents if role == "document" else ensemble.encode_texts
    return encode(texts, batch_size=batch_size, prompts=prompts).gaussian


def _clean(text: str) -> str:
    """Without what no model can read: NUL characters and lone surrogates."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
