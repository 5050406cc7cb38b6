"""What makes two embedding models the same: weights, vocabulary and how they are put to use."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from uec_retriever.experts.loading import tokenizer_lock

_PROBE = "The QUICK brown fox, naïve façade — 42 tests; don't_stop!"
_KEYS = ("pooling_mode", "include_prompt", "use_residual", "module_input_name", "do_lower_case")


def model_fingerprint(model: SentenceTransformer) -> str:
    """SHA-256 (hex) over all parameters, the vocabulary, pooling, prompts and truncation.

    Names of parameters and library versions stay out, so that an upgrade of transformers or
    sentence-transformers keeps the fingerprint; another precision (float16) changes it.
    """
    digest = hashlib.sha256(json.dumps(_description(model), sort_keys=True).encode())
    for parameter in model.parameters():
        digest.update(f"{tuple(parameter.shape)} {parameter.dtype}".encode())
        data = parameter.detach().cpu().contiguous()
        digest.update(data.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _description(model: SentenceTransformer) -> dict[str, Any]:
    modules = []
    for module in model:
        settings = {key: getattr(module, key) for key in _KEYS if hasattr(module, key)}
        if (activation := getattr(module, "activation_function", None)) is not None:
            settings["activation"] = type(activation).__name__
        modules.append([type(module).__name__, settings])
    limit = model.max_seq_length
    with tokenizer_lock(model):
        vocabulary = _vocabulary_hash(model.tokenizer)
    return {
        "modules": modules,
        "prompts": dict(model.prompts),
        "default_prompt": model.default_prompt_name,
        "truncate_dim": model.truncate_dim,
        "max_seq_length": int(limit) if limit and limit < 1e12 else None,
        "vocabulary": vocabulary,
    }


def _vocabulary_hash(tokenizer: Any) -> str:
    """Vocabulary and, through the ids of a probe, the tokenizer's normalisation."""
    encoded = tokenizer.encode(_PROBE, add_special_tokens=True)
    ids = list(getattr(encoded, "ids", encoded))
    vocabulary = sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(repr((ids, vocabulary)).encode()).hexdigest()
