"""A label run: what is missing in the file is labelled, chunk after chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.progress import Progress
from uec_retriever.data.provenance import installed_versions
from uec_retriever.errors import InvalidInputError
from uec_retriever.utility_labeler.files import LabelFile, manifest_path, write_json
from uec_retriever.utility_labeler.judge import Judge
from uec_retriever.utility_labeler.labeler import FORMAT, Labeler
from uec_retriever.utility_labeler.labels import Label
from uec_retriever.utility_labeler.prompts import Prompt
from uec_retriever.utility_labeler.questions import Pair
from uec_retriever.utility_labeler.utility import LabelOptions

CHUNK = 64
Execute = Callable[[Labeler, Sequence[Sequence[Pair]]], Iterator[list[Label]]]
_PACKAGES = ("uec-retriever", "torch", "transformers", "tokenizers", "gguf", "numpy", "bm25s", "ray")


@dataclass(frozen=True)
class LabelReport:
    """What a run did.

    Attributes:
        path: of the label file.
        pairs: asked for.
        labelled: now; the others were there.
        truncated: labels in the file whose passage was cut to fit.
        repaired: bytes of an unfinished last line that were cut off.
        run: its fingerprint.
    """

    path: Path
    pairs: int
    labelled: int
    truncated: int
    repaired: int
    run: str


def label_utilities(
    judge: Judge,
    pairs: Sequence[Pair],
    out: str | Path,
    *,
    prompts: Sequence[Prompt] | None = None,
    options: LabelOptions | None = None,
    chunk: int = CHUNK,
    data: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    execute: Execute | None = None,
) -> LabelReport:
    """Label pairs into a file; what is in it already is kept, so an interrupted call is just repeated.

    Labels are flushed to the disk a chunk at a time. Pairs that share a passage are labelled together.

    Args:
        judge: the language model.
        pairs: no pair twice; see `mining.mine` and `questions.Questions`.
        out: the label file; the manifest is put beside it.
        prompts: one, or paraphrases to average over; ours if None.
        options: what a utility is.
        chunk: pairs between two flushes, at least 1 (a passage's pairs stay together).
        data: where the pairs came from, for the manifest.
        progress: called with the number of labels done since, first those found in the file.
        execute: labels chunks elsewhere, e.g. `ray_engine.RayEngine(...)`; here if None.

    Raises:
        InvalidInputError: for no pairs, a pair twice, or a question that does not fit into the context.
        LabelError: if the file is of another run or of other pairs.
        IndexBusyError: if another process is writing to it.
        StorageError: if it cannot be written.
    """
    labeler = Labeler(judge, prompts, options)
    path = Path(out).expanduser()
    file = LabelFile(path)
    _check(labeler, pairs, chunk)
    with file.lock():
        repaired = file.repair()
        done = file.done(labeler.run, pairs)
        if progress is not None and done:
            progress(len(done))
        manifest = _manifest(labeler, len(pairs), data)
        write_json(manifest_path(path), {**manifest, "complete": False})
        chunks = list(make_chunks([pair for pair in pairs if pair.key not in done], chunk))
        labelled = 0
        try:
            for labels in (execute or _here)(labeler, chunks):
                file.append(label.to_json() for label in labels)
                labelled += len(labels)
                if progress is not None:
                    progress(len(labels))
        finally:
            file.repair()  # a Ctrl-C may have hit a line
            counts = file.counts()
            complete = counts["labels"] == len(pairs)
            write_json(manifest_path(path), {**manifest, "counts": counts, "complete": complete})
    return LabelReport(path, len(pairs), labelled, counts["truncated"], repaired, labeler.run)


def make_chunks(pairs: Sequence[Pair], size: int) -> Iterator[list[Pair]]:
    """Chunks of about `size` pairs, those of one passage side by side.

    Passages come in the order of their first pair; a passage with more than `size` pairs is one chunk.
    """
    passages: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        passages.setdefault((pair.candidate.passage_id, pair.candidate.text), []).append(pair)
    chunk: list[Pair] = []
    for group in passages.values():
        if chunk and len(chunk) + len(group) > size:
            yield chunk
            chunk = []
        chunk += group
    if chunk:
        yield chunk


def _here(labeler: Labeler, chunks: Sequence[Sequence[Pair]]) -> Iterator[list[Label]]:
    for chunk in chunks:
        yield labeler.label(chunk)


def _check(labeler: Labeler, pairs: Sequence[Pair], chunk: int) -> None:
    check_whole("chunk", chunk, 1)
    if not pairs:
        raise InvalidInputError("there is nothing to label: give questions with candidates")
    seen: set[tuple[str, str]] = set()
    for pair in pairs:
        if pair.key in seen:
            raise InvalidInputError(f"question {pair.key[0]!r} has passage {pair.key[1]!r} twice")
        seen.add(pair.key)
    for question in {pair.question.id: pair.question for pair in pairs}.values():
        labeler.check(question)


def _manifest(labeler: Labeler, pairs: int, data: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "run": labeler.run,
        "judge": {**labeler.judge.description, "fingerprint": labeler.judge.fingerprint},
        "chat_template": (
            getattr(labeler.judge.tokenizer, "chat_template", None)
            if any(prompt.chat for prompt in labeler.prompts)
            else None
        ),
        **labeler.description(),
        "data": dict(data or {}),
        "pairs": pairs,
        "versions": installed_versions(_PACKAGES),
    }
