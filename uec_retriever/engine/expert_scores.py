"""What each expert by itself thinks of hits: their similarities before the coefficients weight them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.engine.results import Hit
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.lexical_options import WORDS


def with_expert_scores(
    ensemble: Ensemble, store: ChromaStore, query: Array, words: LexicalQuery | None, hits: Sequence[Hit]
) -> list[Hit]:
    """Hits that tell each expert's own score, see `Hit.expert_scores`; one more read of them.

    Args:
        ensemble: the experts.
        store: the index.
        query: `[D]` in the layout of the index.
        words: the query as words; None for one without, or an index without.
        hits: k of them.

    Raises:
        UnreadableWordsError: if the lexical index cannot be read.
    """
    stored = store.vectors([hit.id for hit in hits])
    blocks = _blocks(ensemble)
    found = [
        _cosines(query, stored[hit.id], blocks) if hit.id in stored else {}  # or deleted meanwhile
        for hit in hits
    ]
    if words is not None and hits:
        for scores, score in zip(found, words.moments([hit.record for hit in hits])[0].tolist(), strict=True):
            scores[WORDS] = score
    return [replace(hit, expert_scores=scores) for hit, scores in zip(hits, found, strict=True)]


def _blocks(ensemble: Ensemble) -> dict[str, slice]:
    """Label -> its part of a vector; in the sum layout all labels together -> all of it."""
    if ensemble.manifest.layout == "sum":
        return {"+".join(ensemble.labels): slice(None)}
    ends = np.cumsum([entry.dimension for entry in ensemble.manifest.experts]).tolist()
    starts = [0, *ends[:-1]]
    return {label: slice(start, end) for label, start, end in zip(ensemble.labels, starts, ends, strict=True)}


def _cosines(query: Array, text: Array, blocks: dict[str, slice]) -> dict[str, float]:
    """Cosines block by block; none where a block is zero, as is that of an expert whose coefficient is 0."""
    query, text = query.astype(np.float64), text.astype(np.float64)
    cosines = {}
    for label, block in blocks.items():
        lengths = float(np.linalg.norm(query[block]) * np.linalg.norm(text[block]))
        if lengths > 0:
            cosines[label] = float(np.clip(query[block] @ text[block] / lengths, -1, 1))
    return cosines
