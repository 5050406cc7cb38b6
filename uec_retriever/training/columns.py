"""Embeds the columns of a training batch: each different passage once, by length, in mini-batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Features = Mapping[str, Any]
_CHUNK = 32  # rows of one forward pass where memory sets no limit: sorted by length, little of it is padding


@dataclass(frozen=True, eq=False)
class EmbeddedBatch:
    """What a loss needs of a batch.

    Attributes:
        queries: `[batch, D]` embeddings with gradients.
        passages: `[u, D]`, each different passage of the batch once.
        slots: `[batch, n]` int64, row in `passages` of each candidate; -1 where there is none.
        same_question: `[batch, batch]` bool, which rows hold the same question.
    """

    queries: Tensor
    passages: Tensor
    slots: Tensor
    same_question: Tensor


def embed_columns(
    model: SentenceTransformer, columns: Sequence[Features], present: Tensor, mini_batch_size: int | None
) -> EmbeddedBatch:
    """Embed the question and candidate columns of a batch.

    Texts are told apart by their token ids after truncation, so two passages that the model
    cannot distinguish are one. Candidates that are not present are never embedded, unless the
    features have no row for each text (`StaticEmbedding`), where a column is embedded as a whole.

    Args:
        model: the student.
        columns: features of the question and of each candidate, as the collator makes them.
        present: `[batch, n]` bool, where there is a candidate.
        mini_batch_size: rows whose activations are kept at a time; the rest are computed again in the
            backward pass (as GradCache does), with the same dropout. None keeps all.
    """
    queries, *candidates = columns
    rows = len(present)
    query_keys = [_keys(queries, rows)]
    question = torch.tensor(_number(query_keys)[0], device=present.device).view(-1)
    numbers, firsts = _number([_keys(c, rows) for c in candidates], present)
    firsts = firsts or [(0, 0)]  # a batch without candidates still has a graph, of a loss of 0
    if all(_is_padded(c, rows) and _alike(c, candidates[0]) for c in candidates):
        passages = _embed_rows(model, _gather(candidates, firsts, _pad_id(model)), mini_batch_size)
    else:
        embedded = torch.stack([model(_copy(c))["sentence_embedding"] for c in candidates])
        where = torch.tensor(firsts, device=present.device).view(-1, 2)
        passages = embedded[where[:, 0], where[:, 1]]
    if _is_padded(queries, rows):
        texts = _gather([queries], [(0, row) for row in range(rows)], _pad_id(model))
        embedded_queries = _embed_rows(model, texts, mini_batch_size)
    else:
        embedded_queries = model(_copy(queries))["sentence_embedding"]
    slots = torch.tensor(numbers, device=present.device).view(len(candidates), rows).T
    return EmbeddedBatch(embedded_queries, passages, slots, question[:, None] == question[None, :])


def _keys(features: Features, rows: int) -> list[Any]:
    """What makes two texts of a batch the same one: their tokens. None where features do not tell."""
    ids = features.get("input_ids")
    if ids is None:
        return [None] * rows
    if ids.ndim == 1 and "offsets" in features:
        bounds = [*features["offsets"].tolist(), len(ids)]
        tokens = ids.tolist()
        return [tuple(tokens[a:b]) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    if _is_padded(features, rows):
        lines = zip(ids.tolist(), features["attention_mask"].tolist(), strict=True)
        return [tuple(t for t, m in zip(line, mask, strict=True) if m) for line, mask in lines]
    return [None] * rows


def _number(
    columns: list[list[Any]], present: Tensor | None = None
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """A number for each different key, and where each is found first (column, row)."""
    known: dict[Any, int] = {}
    firsts: list[tuple[int, int]] = []
    numbers = []
    flags = present.T.tolist() if present is not None else [[True] * len(c) for c in columns]
    for c, (keys, exists) in enumerate(zip(columns, flags, strict=True)):
        line = []
        for r, (key, there) in enumerate(zip(keys, exists, strict=True)):
            if not there:
                line.append(-1)
                continue
            name = key if key is not None else (c, r, "unknown")
            if name not in known:
                known[name] = len(firsts)
                firsts.append((c, r))
            line.append(known[name])
        numbers.append(line)
    return numbers, firsts


def _is_padded(features: Features, rows: int) -> bool:
    """Whether every tensor has a row for each text, as tokenizers make them."""
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if (
        not isinstance(ids, Tensor)
        or not isinstance(mask, Tensor)
        or ids.ndim != 2
        or mask.shape != ids.shape
    ):
        return False
    tensors = [v for v in features.values() if isinstance(v, Tensor)]
    return all(v.ndim >= 1 and len(v) == rows and (v.ndim == 1 or v.shape == ids.shape) for v in tensors)


def _alike(features: Features, other: Features) -> bool:
    """Whether two columns can share a forward pass."""
    if features.keys() != other.keys():
        return False
    return all(isinstance(v, Tensor) or v == other[k] for k, v in features.items())


def _pad_id(model: SentenceTransformer) -> int:
    tokenizer = getattr(getattr(model, "module", model), "tokenizer", None)
    return int(getattr(tokenizer, "pad_token_id", None) or 0)


def _gather(columns: Sequence[Features], rows: list[tuple[int, int]], pad_id: int) -> list[dict[str, Any]]:
    """Features of one text each, without padding; `pad_id` is remembered for `_join`."""
    texts = []
    for column, row in rows:
        features = columns[column]
        mask = features["attention_mask"][row].bool()
        text: dict[str, Any] = {"pad_id": pad_id, "left": not bool(mask[0])}
        for key, value in features.items():
            if not isinstance(value, Tensor):
                text[key] = value
            else:
                text[key] = value[row] if value.ndim == 1 else value[row][mask]
        texts.append(text)
    left = any(t["left"] for t in texts)
    return [{**t, "left": left} for t in texts]


def _join(texts: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of texts, padded to the longest on the side that the tokenizer pads."""
    width = max(len(t["input_ids"]) for t in texts)
    joined: dict[str, Any] = {}
    for key, value in texts[0].items():
        if key in ("pad_id", "left"):
            continue
        if not isinstance(value, Tensor):
            joined[key] = value
        elif value.ndim == 0:
            joined[key] = torch.stack([t[key] for t in texts])
        else:
            fill = texts[0]["pad_id"] if key == "input_ids" else 0
            batch = value.new_full((len(texts), width), fill)
            for line, text in zip(batch, texts, strict=True):
                size = len(text[key])
                line[width - size if text["left"] else 0 :][:size] = text[key]
            joined[key] = batch
    return joined


def _embed_rows(
    model: SentenceTransformer, texts: list[dict[str, Any]], mini_batch_size: int | None
) -> Tensor:
    """Embeddings in the order of the texts; forward passes by length."""
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]["input_ids"]))
    size = mini_batch_size or _CHUNK
    parts = []
    for start in range(0, len(order), size):
        features = _join([texts[i] for i in order[start : start + size]])
        if mini_batch_size and torch.is_grad_enabled():
            parts.append(checkpoint(_forward, model, features, use_reentrant=False))
        else:
            parts.append(_forward(model, features))
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order, dtype=torch.long)] = torch.arange(len(order))
    embeddings = torch.cat(parts)
    return embeddings[back.to(embeddings.device)]


def _forward(model: SentenceTransformer, features: dict[str, Any]) -> Tensor:
    embedding: Tensor = model(_copy(features))["sentence_embedding"]
    return embedding


def _copy(features: Features) -> dict[str, Any]:
    """Pooling may write into the attention mask: never into ours, which is needed again."""
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in features.items()}
