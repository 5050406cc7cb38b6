"""What makes two embedding models the same: weights, vocabulary and how they are put to use, or what probes become.

Where no weights can be read, as behind a server, a fingerprint holds what the model makes of a few fixed texts, and two
are the same within the noise of servers, which compute in float16 and in batches of whoever asks.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from uec_retriever.experts.loading import tokenizer_lock
from uec_retriever.gaussian import Array

PROBES = (
    "who discovered penicillin, and when?",
    "Wie wird der Fehler 0x80070005 behoben?",
    "The wing of an aircraft gives lift because air flows faster over its upper side.",
    "def area(radius): return 3.14159 * radius ** 2",
)  # the first half as queries, the others as documents
SCHEME = "probes-1"  # of other texts or directions it would be another
_DIRECTIONS = 32
_NOISE = 0.03  # distance of unit vectors, a cosine of .9995: bfloat16 is nearer, another model or quantisation is not

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


def probe_fingerprint(embeddings: Array) -> str:
    """A fingerprint of what a model makes of `PROBES`, in 32 random directions each, float16.

    Args:
        embeddings: `[4, D]` unit vectors.
    """
    directions = np.random.RandomState(0).standard_normal((embeddings.shape[1], _DIRECTIONS))
    seen = (embeddings @ directions / _DIRECTIONS**0.5).astype("<f2")
    return f"{SCHEME}:{embeddings.shape[1]}:{base64.urlsafe_b64encode(seen.tobytes()).decode()}"


def same_model(one: str, other: str) -> bool:
    """Whether two fingerprints are of one model: equal, or of probes that differ by noise alone.

    Args:
        one: a fingerprint.
        other: another one.
    """
    if one == other:
        return True
    parts = [fingerprint.split(":") for fingerprint in (one, other)]
    if any(len(part) != 3 or part[0] != SCHEME for part in parts) or parts[0][1] != parts[1][1]:
        return False
    try:
        first, second = (
            np.frombuffer(base64.urlsafe_b64decode(part[2]), dtype="<f2")
            .astype(float)
            .reshape(len(PROBES), -1)
            for part in parts
        )
        return first.shape == second.shape and bool((np.linalg.norm(first - second, axis=1) < _NOISE).all())
    except ValueError:
        return False
