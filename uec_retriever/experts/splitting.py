"""Splitting long texts for the experts that are to embed them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from uec_retriever.data.files.markup import Markup
from uec_retriever.data.records import Record
from uec_retriever.data.splitting import Splitter
from uec_retriever.experts.expert import Expert


def make_splitter(experts: Sequence[Expert], tokens: int | None = None) -> Splitter:
    """A splitter whose pieces each of some experts sees whole.

    Args:
        experts: by whose tokenizers and windows texts are measured. One that does not tell, such as a server, is taken to see
            512 tokens of 4 bytes.
        tokens: of a piece at most; 512 if None. Fewer where an expert sees fewer.

    Raises:
        InvalidInputError: for `tokens` below 16.
    """
    return Splitter([expert.head.window for expert in experts], tokens)


def split_records(
    records: Iterable[Record],
    experts: Sequence[Expert],
    *,
    tokens: int | None = None,
    markup: Markup = "plain",
) -> Iterator[Record]:
    """Records whose texts every expert sees whole: long ones as pieces, cut at headings, paragraphs or sentences.

    `engine.add_records(split_records(records, engine.experts))` adds them. A piece has the id of its record, `#` and its
    position; its metadata are those of the record, `document_id`, `position` from 0, `start` in characters of the
    whole text, and `headings` that it stands under, as "A > B". A record that fits stays as it is.

    Args:
        records: of any number.
        experts: that are to embed them (see `make_splitter`).
        tokens: of a piece at most; the smallest of the experts' windows and 512 if None.
        markup: how the texts are structured: `plain`, `markdown` or `rst`.

    Raises:
        InvalidInputError: for a long record with one of these keys in its own metadata, or with another text to embed.
    """
    splitter = make_splitter(experts, tokens)
    for record in records:
        yield from splitter.records(record, markup)
