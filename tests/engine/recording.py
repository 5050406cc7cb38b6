"""What child processes of the tests do: record judgements."""

from multiprocessing.connection import Connection
from pathlib import Path

from uec_retriever.engine.judgements import Judgement, Judgements


def record_endlessly(file: Path, pipe: Connection) -> None:
    """Record judgements, and tell of each once it is recorded, until killed."""
    judgements, number = Judgements(file), 0
    while True:
        judgements.record([Judgement(f"query {number}", f"id{number}")])
        pipe.send(number)
        number += 1


def record_many(file: Path, process: int, count: int) -> None:
    """Record so many judgements, each in a call of its own and longer than a page."""
    judgements = Judgements(file)
    for number in range(count):
        judgements.record([Judgement(f"query {number} " + "long " * 1000, f"id{process}")])
