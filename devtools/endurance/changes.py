"""What is done to an index that is attacked, and what it must hold afterwards."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from devtools.numbered import WORDS
from uec_retriever.data.records import Record
from uec_retriever.engine.add import CHUNK
from uec_retriever.engine.location import Location

RETOLD = 100  # revisions of one text; they differ in metadata only
Revisions = dict[int, int]  # number of a record -> its revision


def revised(number: int, revision: int) -> Record:
    """A record that tells its number and revision, with a text of its own."""
    generator = random.Random(f"{number} {revision // RETOLD}")
    words = [*generator.choices(WORDS, k=6), *(f"n{digit}" for digit in str(number))]
    return Record(f"{number:06}", " ".join(words), {"n": number, "revision": revision})


@dataclass(frozen=True)
class Place:
    """Where an index is, and the models for it.

    Attributes:
        folder: of the index.
        model: folder of its model.
        other: folder of the model for a copy of it.
        url: of a Chroma server, if one holds the texts.
    """

    folder: Path
    model: str
    other: str
    url: str | None = None

    @property
    def location(self) -> Location:
        """For the engine."""
        return Location(self.folder, url=self.url)

    @property
    def database(self) -> Path:
        """Folder of the embedded Chroma."""
        return self.folder / "chroma"

    @property
    def copy(self) -> Place:
        """The index that `reindex` makes of this one."""
        return Place(self.folder.with_name(f"{self.folder.name}-copy"), self.other, self.other)


@dataclass(frozen=True)
class Change:
    """One command.

    Attributes:
        kind: add, update (text and metadata), retell (metadata), delete, recalibrate, confidence, reindex, repair,
            search, open, create.
        records: number -> revision afterwards, None where the record goes; in the order of the command.
        temperature: that `recalibrate` sets.
    """

    kind: str
    records: dict[int, int | None] = field(default_factory=dict)
    temperature: float | None = None

    def apply(self, revisions: Revisions) -> None:
        """Do it to what an index is expected to hold."""
        for number, revision in self.records.items():
            if revision is None:
                revisions.pop(number, None)
            else:
                revisions[number] = revision

    def problems(self, before: Revisions, found: Revisions) -> list[str]:
        """What is wrong with records that are found after this change was interrupted: each is as before or after it.

        Chunks are stored in their order, each whole or not at all.

        Args:
            before: revisions before it.
            found: revisions now.
        """
        problems = []
        for number in sorted({*before, *found, *self.records}):
            allowed = {before.get(number), self.records.get(number, before.get(number))}
            if found.get(number) not in allowed:
                problems.append(f"{self.kind}: record {number} is {found.get(number)}, not one of {allowed}")
        if self.kind == "reindex":  # in the order of the index
            return problems
        numbers = list(self.records)
        stored = [found.get(n) == self.records[n] for n in numbers]
        changes = [before.get(n) != self.records[n] for n in numbers]
        if self.kind == "delete":
            chunks = [slice(0, len(numbers))]
        else:
            chunks = [slice(i, i + CHUNK) for i in range(0, len(numbers), CHUNK)]
        whole = []
        for chunk in chunks:
            states = {s for s, c in zip(stored[chunk], changes[chunk], strict=True) if c}
            if len(states) > 1:
                problems.append(f"{self.kind}: a chunk is stored in part")
            whole += [*states][:1]
        if sorted(whole, reverse=True) != whole:
            problems.append(f"{self.kind}: a later chunk is stored, an earlier one is not")
        return problems
