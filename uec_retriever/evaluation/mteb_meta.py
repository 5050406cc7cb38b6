"""What MTEB is told about an ensemble: what is known is said, what is not stays None."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.errors import InvalidInputError, MissingExtraError
from uec_retriever.experts.expert import Expert

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta

ORGANISATION = "uec-retriever"
_MEGABYTE = 2**20
_UNLIMITED = 1e12  # tokenizers without a limit say so with a larger number


def require_mteb() -> None:
    """Raise unless mteb is there.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    try:
        import mteb  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            'evaluation with MTEB needs mteb: pip install "uec-retriever[mteb]"'
        ) from error


def model_meta(
    ensemble: Ensemble,
    name: str | None = None,
    *,
    uncertainty: bool = True,
    loader: Callable[..., Any] | None = None,
    loader_options: Mapping[str, Any] | None = None,
) -> ModelMeta:
    """MTEB's metadata of an ensemble.

    `similarity_fn_name` is that of the embeddings; what search adds is among `loader_kwargs`, and in the revision.

    Args:
        ensemble: experts and manifest.
        name: `organisation/model`; made of the labels of the experts if None.
        uncertainty: whether search takes the uncertainty-aware similarity.
        loader: makes the model again, given name, revision and `loader_options`.
        loader_options: for the loader.

    Raises:
        InvalidInputError: for a name without an organisation.
        MissingExtraError: without the extra `mteb`.
    """
    require_mteb()
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    if name is not None and not re.fullmatch(r"[^/\s]+/[^/\s]+", name):
        raise InvalidInputError(f"MTEB knows models as organisation/model: name={name!r} is none")
    models = _torch_models(ensemble.experts)
    all_known = all(_is_torch(expert) for expert in ensemble.experts)
    parameters = [p for model in models for p in model.parameters()]
    memory = round(sum(p.numel() * p.element_size() for p in parameters) / _MEGABYTE, 3)
    return ModelMeta(
        loader=loader,
        loader_kwargs=dict(loader_options or {}),
        name=name or default_name(ensemble.labels),
        revision=revision(ensemble, uncertainty),
        release_date=None,
        languages=None,
        n_parameters=sum(p.numel() for p in parameters) if all_known else None,
        memory_usage_mb=memory if all_known else None,
        max_tokens=max_tokens(ensemble.experts),
        embed_dim=ensemble.manifest.dimension,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["Sentence Transformers", "PyTorch"] if models else [],
        similarity_fn_name=ScoringFunction.DOT_PRODUCT,
        use_instructions=any(p for model in models for p in model.prompts.values()),
        training_datasets=None,
    )


def default_name(labels: Sequence[str]) -> str:
    """`uec-retriever/A+B` for the experts A and B, with `_` for what no file name should hold."""
    return f"{ORGANISATION}/" + "+".join(re.sub(r"[^\w.-]", "_", label) for label in labels)


def revision(ensemble: Ensemble, uncertainty: bool = True) -> str:
    """40 hexadecimal digits, a hash of everything that decides embeddings and scores.

    That is the index's fingerprint (experts, posteriors, layout), and what may change without indexing anew:
    temperature, zeros, priors and variance factors, and how words are an expert; and the similarity.
    """
    manifest = ensemble.manifest
    essence: list[Any] = [
        manifest.fingerprint,
        manifest.temperature,
        [[e.query_zero, e.document_zero, e.prior, e.variance_factor] for e in manifest.experts],
        "probit" if uncertainty and manifest.informative else "mean",
    ]
    if manifest.lexical is not None:
        essence.append([asdict(manifest.lexical), manifest.lexical.analyzer.settings()])
    return hashlib.sha256(json.dumps(essence).encode()).hexdigest()[:40]


def max_tokens(experts: Sequence[Expert]) -> int | None:
    """Where the first expert cuts a text, of those that tell; None if none does."""
    limits = [model.max_seq_length for model in _torch_models(experts)]
    return min((int(n) for n in limits if n and n < _UNLIMITED), default=None)


def _torch_models(experts: Sequence[Expert]) -> list[Any]:
    """Each model once; those on servers and behind functions have none that could be looked at."""
    return list({expert.fingerprint: expert.model for expert in experts if _is_torch(expert)}.values())


def _is_torch(expert: Expert) -> bool:
    try:
        return expert.model is not None
    except InvalidInputError:
        return False
