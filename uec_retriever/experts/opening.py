"""Heads by name: which provider an expert comes from, and how its features are had."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from sentence_transformers import SentenceTransformer

from uec_retriever.errors import (
    InvalidInputError,
    MissingExtraError,
    ModelNotFoundError,
    UnsupportedModelError,
    show,
)
from uec_retriever.experts.adapters import OBJECT, embedding_of
from uec_retriever.experts.endpoint import EndpointEmbedding
from uec_retriever.experts.head import Head
from uec_retriever.experts.identity import IdentityHead
from uec_retriever.experts.linearised import LinearisedModel
from uec_retriever.experts.loading import load_model, model_source
from uec_retriever.experts.local import SentenceTransformerEmbedding
from uec_retriever.experts.static_model import StaticModelEmbedding
from uec_retriever.experts.text_embedding import TextEmbedding

HeadName = Literal["last_layer", "identity"]
_HEADS = ("last_layer", "identity")
_logger = logging.getLogger(__name__)


def load_head(
    name: str, *, device: str | None, trust_remote_code: bool, options: Mapping[str, Any]
) -> tuple[Head, dict[str, Any]]:
    """What an expert reads of texts, by the name of its model.

    Args:
        name: hub id or folder of a sentence-transformers model, or `PROVIDER:MODEL` with one of `PROVIDERS`.
            `openai:MODEL@URL` says where the server is.
        device: torch device; the library's choice if None.
        trust_remote_code: run code that comes with the model.
        options: of the provider; `head` says `last_layer` or `identity`, else it is found out.

    Returns:
        The head, and the options with which the same is loaded again.

    Raises:
        InvalidInputError: for an option that there is none of.
        ModelNotFoundError: if the model cannot be loaded.
        UnsupportedModelError: if the last layer is asked for and cannot be linearised.
        MissingExtraError: if the provider's library is not installed.
    """
    options = dict(options)
    name, url = split_url(name)
    if url is not None:
        options["base_url"] = url
    if name.startswith(OBJECT):
        raise ModelNotFoundError(
            f"{name.removeprefix(OBJECT)} is an object of the program that made the index, which cannot be loaded by name"
        )
    if (provider := provider_of(name)) is not None:
        if not (model_name := name.removeprefix(f"{provider}:")):
            raise InvalidInputError(f"which model of {provider}? Name the expert {provider}:MODEL")
        if options.pop("head", "identity") != "identity":
            raise UnsupportedModelError(f"only the embeddings of {name!r} can be had: its head is 'identity'")
        try:
            embedding = PROVIDERS[provider](model_name, **options)
            return IdentityHead(embedding), {**options, **(embedding.options or {})}
        except TypeError as error:
            raise InvalidInputError(
                f"cannot make the expert {name!r} with the options {sorted(options)}: {error}"
            ) from error
    wanted = options.pop("head", None)
    model = load_model(name, device=device, trust_remote_code=trust_remote_code, **options)
    head = head_of(model, name, wanted)
    if isinstance(head, IdentityHead):
        options["head"] = "identity"
    return head, options


def split_url(name: str) -> tuple[str, str | None]:
    """`openai:MODEL@URL` -> `openai:MODEL` and the URL; anything else as it is, and None."""
    model, separator, address = name.partition("@http")
    return (model, f"http{address}") if separator and model.startswith("openai:") else (name, None)


def head_of(model: SentenceTransformer, name: str, wanted: HeadName | None = None) -> Head:
    """The head of a sentence-transformers model.

    Args:
        model: loaded.
        name: of it.
        wanted: `last_layer`, `identity`, or None for the last layer where it can be reached.

    Raises:
        InvalidInputError: for another head.
        UnsupportedModelError: if the last layer is wanted and cannot be linearised.
    """
    if wanted not in (None, *_HEADS):
        raise InvalidInputError(f"head must be one of {list(_HEADS)}, got {show(wanted)}")
    if wanted != "identity":
        try:
            return LinearisedModel(model)
        except UnsupportedModelError as error:
            if wanted is not None:
                raise
            _logger.info("expert %s has an identity head: %s", name, error)
    return IdentityHead(SentenceTransformerEmbedding(model, name))


def model_name(name: str) -> str:
    """A name as an index keeps it: without an address, folders, those behind a provider too, as absolute paths.

    Args:
        name: as `load_head` takes it.
    """
    name, _ = split_url(name)
    provider = provider_of(name)
    if provider in _OF_FOLDERS:
        return f"{provider}:{model_source(name.removeprefix(f'{provider}:'))}"
    return model_source(name)


def provider_of(name: str) -> str | None:
    """Which of `PROVIDERS` a name is for; None for a sentence-transformers model."""
    provider, separator, _ = name.partition(":")
    return provider if separator and provider in PROVIDERS and not Path(name).exists() else None


def _onnx(model: str, **options: Any) -> TextEmbedding:
    from uec_retriever.experts.onnx import OnnxEmbedding

    return OnnxEmbedding(model, **options)


def _fastembed(model: str, **options: Any) -> TextEmbedding:
    try:
        from fastembed import TextEmbedding as FastEmbed
    except ImportError as error:
        raise MissingExtraError("experts of fastembed need that library: pip install fastembed") from error
    try:
        return embedding_of(FastEmbed(model, **options), f"fastembed:{model}")
    except TypeError:
        raise
    except Exception as error:  # its own, the hub's, onnxruntime's
        raise ModelNotFoundError(f"fastembed cannot load {model!r}: {error}") from error


def _model2vec(model: str, **options: Any) -> TextEmbedding:
    try:
        from model2vec import StaticModel
    except ImportError as error:
        raise MissingExtraError(
            'experts of model2vec need that library: pip install "model2vec>=0.10"'
        ) from error
    try:  # by itself it would download the model anew each time
        loaded = StaticModel.from_pretrained(model, **{"force_download": False, **options})
    except (ValueError, OSError) as error:
        raise ModelNotFoundError(f"model2vec cannot load {model!r}: {error}") from error
    return StaticModelEmbedding(loaded, f"model2vec:{model}")


PROVIDERS: dict[str, Callable[..., TextEmbedding]] = {
    "openai": EndpointEmbedding,
    "onnx": _onnx,
    "fastembed": _fastembed,
    "model2vec": _model2vec,
}
_OF_FOLDERS = ("onnx", "model2vec")
