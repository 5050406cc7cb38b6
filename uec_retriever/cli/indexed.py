"""What `uec index` and `uec reindex` did, or would do, for people and for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from uec_retriever.cli.common import bar, errors, output, short

if TYPE_CHECKING:
    from uec_retriever.data.corpus import Corpus
    from uec_retriever.data.pairs import CalibrationPairs
    from uec_retriever.engine.add import Execute
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.estimate import Estimate
    from uec_retriever.engine.existing import Existing
    from uec_retriever.engine.results import AddReport
    from uec_retriever.engine.sync import PartlyRead
    from uec_retriever.experts.expert import Expert

_SHOWN = 5  # ids
_WHOLE = 0.995  # of a corpus: a share that is above says nothing
_TEXTS_A_PAIR = 1.5  # that cost as much to embed as fitting on one: 1.2 to 1.8 with MiniLM


@dataclass(frozen=True)
class Run:
    """What became of an index.

    Attributes:
        change: what became of the texts that were given.
        before: texts in the index before.
        seconds: that embedding and storing took.
        deleted: how many texts were deleted, as the corpus no longer holds them.
        deleted_ids: ids of the first of them.
        absent: ids of texts in the index that the corpus does not hold; none where they were deleted.
        kept: ids of texts in the index whose files are there and could not be read.
    """

    change: AddReport
    before: int
    seconds: float
    deleted: int = 0
    deleted_ids: tuple[str, ...] = ()
    absent: Sequence[str] = ()
    kept: Sequence[str] = ()

    def fields(self) -> dict[str, Any]:
        """For machines."""
        told = {"before": self.before, "deleted": self.deleted, "deleted_ids": self.deleted_ids}
        absent = {"absent": len(self.absent), "absent_ids": self.absent[:_SHOWN]}
        absent |= kept_fields(self.kept)
        return {**asdict(self.change), **told, **absent, "seconds": round(self.seconds, 1)}

    def tell(self, count: int) -> None:
        """For people.

        Args:
            count: texts in the index now.
        """
        change = self.change
        counts = {"added": change.added, "updated": change.updated, "unchanged": change.unchanged}
        counts |= {name: n for name, n in (("skipped", change.skipped), ("deleted", self.deleted)) if n}
        told = ", ".join(f"{number:,} {name}" for name, number in counts.items())
        output.print(f"{told}; {count:,} texts in the index, {self.before:,} before")
        if change.updated:
            output.print(
                f"updated, as their ids were there with other content: {name_some(change.updated_ids, change.updated)}"
            )
        if self.deleted:
            output.print(
                f"deleted, as the corpus no longer holds them: {name_some(self.deleted_ids, self.deleted)}"
            )
        if self.absent:
            errors.print(
                f"note: {len(self.absent):,} texts in the index are not in this corpus: "
                f"{name_some(self.absent, len(self.absent))}; --sync deletes such texts",
                soft_wrap=True,
            )
        tell_kept(self.kept)


def add_corpus(
    engine: Engine,
    records: PartlyRead,
    total: int,
    *,
    sync: bool,
    existing: Existing,
    batch_size: int,
    execute: Execute | None,
) -> Run:
    """Add a corpus to an index under a progress bar.

    Args:
        engine: of the index.
        records: all of the corpus.
        total: how many.
        sync: delete what is in the index and not in the corpus.
        existing: what becomes of a record whose id is there with other content.
        batch_size: texts in one forward pass.
        execute: encodes elsewhere; here if None.
    """
    from uec_retriever.engine.sync import Absent

    begun = monotonic()
    with bar("Indexing", total) as progress:
        if sync:
            report = engine.sync(records, batch_size=batch_size, progress=progress, execute=execute)
            seconds = monotonic() - begun
            return Run(
                report.change, report.before, seconds, report.deleted, report.deleted_ids, kept=records.kept
            )
        there = engine.ids()
        absent = Absent(there)
        change = engine.add_records(
            absent.watch(records),
            existing=existing,
            batch_size=batch_size,
            progress=progress,
            execute=execute,
        )
    seconds, gone = monotonic() - begun, absent.ids()
    if change.deleted:
        left = set(engine.ids())
        gone = [i for i in gone if i in left]
    return Run(change, len(there), seconds, change.deleted, change.deleted_ids, gone, records.kept)


def tell_fitting(experts: Sequence[Expert], pairs: CalibrationPairs, fitted: int) -> None:
    """Say what a new index costs beside embedding its texts.

    Args:
        experts: of the index.
        pairs: that it is calibrated on.
        fitted: how many experts come with a posterior.
    """
    to_fit = len(experts) - fitted
    what = f"fit {to_fit} expert{'s' * (to_fit > 1)}" if to_fit else "calibrate the experts"
    cost = round(_TEXTS_A_PAIR * len(pairs))
    share = cost / pairs.corpus if pairs.corpus else math.inf
    of = f", {share:.0%} of the corpus" if share < _WHOLE else ""
    errors.print(
        f"a new index: first {what} on {len(pairs)} pairs ({pairs.source}){_held_out(pairs) * bool(to_fit)}"
        + f", which costs as much as embedding about {cost:,} texts{of}" * bool(to_fit),
        soft_wrap=True,
    )


def _held_out(pairs: CalibrationPairs) -> str:
    return f", {len(pairs.split()[1])} of them held out for calibration" * pairs.can_hold_out


def tell_cost(found: Estimate, sync: bool, existing: Existing) -> None:
    """Say what `uec index` would do.

    Args:
        found: what the corpus is to the index.
        sync: whether what is absent would be deleted.
        existing: what would become of changed texts.
    """
    calibration = f" and {found.pairs} calibration pairs" * bool(found.pairs)
    changed = f", {found.changed:,} of them changed, which would replace others" * bool(found.changed)
    retold = f"{found.retold:,} with other metadata alone, " * bool(found.retold)
    output.print(
        f"{found.texts:,} texts to embed{changed}{calibration}, {retold}{found.unchanged:,} unchanged: "
        f"{found.characters:,} characters, about {found.tokens:,} tokens (4 bytes each) for every expert; nothing was done"
    )
    if found.skipped:
        fate = "and would be skipped" if existing == "skip" else "so that it would be refused"
        output.print(f"{found.skipped:,} texts are there with other content, {fate}", soft_wrap=True)
    if found.deleted:
        output.print(
            f"{found.deleted:,} texts in the index would be deleted, as parts of documents that have other content now"
        )
    if found.absent:
        named = name_some(found.absent_ids, found.absent)
        fate = "would be deleted" if sync else "would stay, and --sync would delete them"
        output.print(f"{found.absent:,} texts in the index are not in this corpus and {fate}: {named}")
    if sync:
        after = found.before + found.texts - found.changed - found.absent
        output.print(f"{found.before:,} texts in the index now, {after:,} then")


def kept_fields(kept: Sequence[str]) -> dict[str, Any]:
    """Texts that stay as their files could not be read, for machines."""
    return {"kept": len(kept), "kept_ids": kept[:_SHOWN]}


def tell_kept(kept: Sequence[str]) -> None:
    """The same for people."""
    if kept:
        errors.print(
            f"note: {len(kept):,} texts of the index stay as they are, as their files are there and were not read: "
            f"{name_some(kept, len(kept))}",
            soft_wrap=True,
        )


def name_some(ids: Sequence[str], number: int) -> str:
    """The first of so many ids."""
    shown = ids[:_SHOWN]
    return ", ".join(shown) + " …" * (number > len(shown))


def _describe_pieces(documents: Corpus) -> str:
    """Why there are more texts than documents."""
    split, into = documents.split, f"split into {documents.pieces:,} pieces"
    if documents.whole == split:
        return f"{split:,} document{'s' * (split > 1)}, {into}"
    return f"{documents.whole:,} documents, {split:,} of them {into}"


def report_added(
    engine: Engine, run: Run, documents: Corpus | None, json: bool, fitting: float | None = None
) -> None:
    """Say what became of the documents: counts, those without text, those cut; what the index is calibrated on.

    Args:
        engine: of the index.
        run: what became of it.
        documents: the corpus, if there is one.
        json: for machines.
        fitting: seconds that fitting took, where the index was made.
    """
    from uec_retriever.cli.common import print_json

    skipped = documents.skipped if documents else []
    manifest, stale = engine.manifest, engine.staleness()
    if json:
        told = {**run.fields(), "skipped_empty": skipped, "count": engine.count()}
        if documents:
            told |= {"documents": documents.whole, "split": documents.split, "pieces": documents.pieces}
        about = {"calibrated_on": manifest.reference, "notes": manifest.notes, "stale": stale}
        print_json({**told, "fitting_seconds": fitting and round(fitting, 1), **about})
        return
    run.tell(engine.count())
    if documents and documents.split:
        output.print(_describe_pieces(documents))
    if fitting is not None:
        output.print(
            f"calibrated on {manifest.reference}; fitting took {short(fitting)} s, indexing {short(run.seconds)} s"
        )
    for sentence in stale:
        errors.print(f"note: {sentence}", soft_wrap=True)
    if skipped:
        errors.print(f"skipped {len(skipped)} documents without text: {name_some(skipped, len(skipped))}")
