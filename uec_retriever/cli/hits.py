"""How the hits of a search look: for people, and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from uec_retriever.cli.common import errors, output
from uec_retriever.cli.excerpt import Span, cut_excerpt, without_heading_marks
from uec_retriever.data.printable import printable

if TYPE_CHECKING:
    from uec_retriever.confidence.conformal import CoveragePromise
    from uec_retriever.engine.results import Hit, SearchResult

DEFAULT_LINES = 2
_MATCHED = "bold green"
_INDENT = 4
_BREAKS = str.maketrans("\t\n", "\N{SYMBOL FOR HORIZONTAL TABULATION}\N{SYMBOL FOR LINE FEED}")
_BETWEEN = " › "  # headings, as they are within each other


@dataclass(frozen=True)
class Style:
    """What is shown of each hit.

    Attributes:
        lines: of its text, at most, around the words that match; None for the whole text.
        k: hits that the index's confidence is about; None if there is none.
    """

    lines: int | None = DEFAULT_LINES
    k: int | None = None


def plain_result(result: SearchResult, k: int | None) -> dict[str, Any]:
    """A result for machines; `k` is that of the confidence."""
    return {
        "query": result.query,
        "coefficients": result.coefficients,
        "confidence": result.confidence,
        "confidence_k": k,
        "confidence_reason": result.confidence_reason,
        "verdict": result.verdict,
        "abstained": result.abstained,
        "promise": result.promise and {**asdict(result.promise), "holds": result.promise.holds},
        "truncated": list(result.truncated),
        "hits": [_plain_hit(result, hit) for hit in result],
    }


def _plain_hit(result: SearchResult, hit: Hit) -> dict[str, Any]:
    """Without what only frameworks read; `matched` has starts and ends in characters of the text."""
    told = {"id": hit.id, "text": hit.text, "metadata": hit.metadata, "matched": result.matched(hit)}
    return {
        **told,
        "score": hit.score,
        "raw_score": hit.raw_score,
        "deviation": hit.deviation,
        "relevance": hit.relevance,
    }


def show_result(result: SearchResult, style: Style) -> None:
    """Print a result."""
    shares = "   ".join(f"{label} {share:.0%}" for label, share in result.coefficients.items())
    output.print(f"trust in the experts: {shares}")
    right = f"confidence that the first {style.k} hold a right answer"
    if result.confidence is not None:
        number = len(result.hits)
        part = f" (of which {number} {'is' if number == 1 else 'are'} shown)" * (0 < number < (style.k or 0))
        output.print(f"{right}{part}: {result.confidence:.0%}, {result.verdict}")
    elif style.k is not None:
        output.print(f"no {right}: {result.confidence_reason}")
    if result.promise is not None:
        _show_promise(result.promise)
    for label in result.truncated:
        errors.print(f"{label} cut the query to its maximal length: it did not see its end")
    if result.abstained:
        output.print(f"abstained: the {right} is too low")
    elif not result.hits:
        output.print("nothing found")
    if not result.hits:
        return
    rank = max(2, len(str(len(result.hits))))
    output.print(Text(f"{'#':>{rank}}  score      ±  id", style="bold"))
    for number, hit in enumerate(result, start=1):
        # the deviation is in units of the raw score; on the [0, 1] scale it is half
        numbers = f"{number:>{rank}}  {hit.score:.3f}  {hit.deviation / 2:.3f}  "
        _show_id(numbers, Text(_on_one_line(hit.id), style="bold cyan"))
        _show_text(hit, result.matched(hit), style.lines)


def _show_id(numbers: str, identifier: Text) -> None:
    """An id beside the numbers of its hit, or below them: it is copied, so it is never cut nor broken."""
    if len(numbers) + identifier.cell_len <= output.width:
        output.print(Text(numbers) + identifier)
        return
    output.print(Text(numbers.rstrip()))
    output.print(identifier, soft_wrap=True)


def _on_one_line(identifier: str) -> str:
    return printable(identifier).translate(_BREAKS)


def _show_promise(promise: CoveragePromise) -> None:
    if promise.holds:
        output.print(
            f"a right one is among these hits for {promise.coverage:.0%} of queries like the {promise.queries} labelled ones, whose "
            "answer is in the index"
        )
    else:
        output.print(f"a coverage of {promise.coverage:.0%} is not promised: {promise.reason}")


def _show_text(hit: Hit, matched: Sequence[Span], lines: int | None) -> None:
    """Where a text is from, its title, and what of it matches, each part once."""
    whole_text, matched = (hit.text, matched) if lines is None else without_heading_marks(hit.text, matched)
    title, text, places = split_title(whole_text, str(hit.metadata.get("title", "")), matched)
    if origin := describe_origin(hit.id, hit.metadata, title.plain):
        _print_line(Text(origin, style="dim"))
    if title:
        _print_line(title)
    if lines is None:
        whole = Text(printable(text))
        _highlight(whole, places)
        output.print(Padding(whole, (0, 0, 1, _INDENT)))
    elif lines:
        width = max(1, output.width - _INDENT)
        output.print(Padding(_excerpt(text, places, lines, width), (0, 0, 0, _INDENT)))


def _print_line(text: Text) -> None:
    """Text on one line, what is too long cut off."""
    text.truncate(max(1, output.width - _INDENT), overflow="ellipsis")
    output.print(Padding(text, (0, 0, 0, _INDENT)))


def describe_origin(identifier: str, metadata: Mapping[str, Any], title: str = "") -> str:
    """Which document a piece is from, and from where in it, on one line; empty if its id says it all.

    Args:
        identifier: of the piece.
        metadata: its `path` or `document_id`, `headings` and `position` are told, where it has them.
        title: what is shown already.
    """
    document = str(metadata.get("path") or metadata.get("document_id") or "")
    headings = metadata.get("headings") or ()
    parts = [headings] if isinstance(headings, str) else [str(heading) for heading in headings]
    told = [] if not document or identifier.startswith(document) else [document]
    told += [part for part in parts if part != title]
    position = metadata.get("position")
    if told and position is not None and not identifier.endswith(str(position)):
        told[-1] += f", piece {position}"
    return " ".join(printable(_BETWEEN.join(told)).split())


def split_title(text: str, title: str, matched: Sequence[Span]) -> tuple[Text, str, list[Span]]:
    """The title to show before a text, and the text without it, however often it begins with that.

    Args:
        text: of the hit.
        title: of the hit's metadata; empty if there is none.
        matched: in the text.

    Returns:
        The title on one line, matches highlighted if it is in the text; the rest of the text; the matches in that.
    """
    if not title.strip():
        return Text(), text, list(matched)
    start = 0
    while text.startswith(title, start):
        start += len(title)
        start += len(text) - start - len(text[start:].lstrip())
    shown = Text(printable(title), style="bold")
    if start:
        _highlight(shown, [span for span in matched if span[1] <= len(title)])
    shown.plain = shown.plain.replace("\n", " ").replace("\t", " ")
    return shown, text[start:], [(s - start, e - start) for s, e in matched if s >= start]


def _highlight(text: Text, places: Sequence[Span]) -> None:
    for start, end in places:
        text.stylize(_MATCHED, start, end)


def _excerpt(text: str, matched: Sequence[Span], most: int, width: int) -> Text:
    """A few lines of a text, its matches highlighted."""
    part, places = cut_excerpt(text, matched, most * width)
    shown = Text(printable(part))
    _highlight(shown, places)
    lines = shown.wrap(output, width)
    if len(lines) > most:
        lines[most - 1].truncate(max(1, width - 1))
        lines[most - 1].append("…")
    return Text("\n").join(lines[:most])
