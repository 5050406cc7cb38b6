"""What `uec label` needs beside its options: prompts, pairs, progress, and the picture of a label file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rich.table import Table
from rich.text import Text

from uec_retriever.checks.json_text import parse_object
from uec_retriever.cli.common import WrongUsageError, bar, errors, output, status
from uec_retriever.errors import InvalidInputError

if TYPE_CHECKING:
    from uec_retriever.utility_labeler.generation import Generation
    from uec_retriever.utility_labeler.inspection import Inspection
    from uec_retriever.utility_labeler.judge import Judge
    from uec_retriever.utility_labeler.labeler import Labeler
    from uec_retriever.utility_labeler.labels import Label
    from uec_retriever.utility_labeler.mining import Mining, Passages, Ranker
    from uec_retriever.utility_labeler.prompts import Prompt
    from uec_retriever.utility_labeler.questions import Pair, Question

Style = Literal["auto", "chat", "plain"]
_BAR_WIDTH = 50
_ENDS = 2


def choose_prompts(
    judge: Judge, files: Sequence[Path] | None, style: Style, paraphrases: int
) -> Sequence[Prompt]:
    """Prompts of the user's files, or ours.

    Raises:
        InvalidInputError: for a file that holds no prompt, or files together with --paraphrases.
    """
    from uec_retriever.utility_labeler.prompts import Prompt, default_prompts

    if not files:
        has_template = bool(getattr(judge.tokenizer, "chat_template", None))
        return default_prompts(
            chat=has_template if style == "auto" else style == "chat", paraphrases=paraphrases
        )
    if paraphrases != 1 or style != "auto":
        raise WrongUsageError("--prompt says everything: leave out --paraphrases and --prompt-style")
    prompts = []
    for file in files:
        try:
            prompts.append(Prompt.from_dict(parse_object(file.read_bytes())))
        except (OSError, InvalidInputError) as error:
            raise InvalidInputError(f"cannot read the prompt {file}: {error}") from error
    return prompts


@dataclass(frozen=True)
class PairSource:
    """What is to be labelled.

    Attributes:
        data: BEIR folder; only its corpus counts with `questions` or `generation`.
        questions: JSONL file of questions.
        index: UEC index that finds candidates; BM25 if None.
        split: qrels whose questions are asked.
        limit: at most so many questions, a random choice.
        skip_unanswered: pass over questions without an answer.
        mining: how many candidates, and where from.
        generation: how questions are made of the corpus, if they are.
    """

    data: Path | None
    questions: Path | None
    index: Path | None
    split: str | None
    limit: int | None
    skip_unanswered: bool
    mining: Mining
    generation: Generation | None

    def describe(self) -> dict[str, Any]:
        """For the manifest; of paths the last part only."""
        paths = {"data": self.data, "questions": self.questions, "index": self.index}
        return {
            **{key: path.name for key, path in paths.items() if path is not None},
            "split": self.split,
            "limit": self.limit,
            "generate": None if self.generation is None else self.generation.questions,
            "miner": "bm25" if self.index is None else "index",
            **asdict(self.mining),
        }

    def find_pairs(self, labeler: Labeler, out: Path) -> list[Pair]:
        """The pairs to label.

        Args:
            labeler: makes questions, where they are to be made.
            out: label file; generated questions are put beside it.

        Raises:
            InvalidInputError: if the options do not go together.
        """
        from uec_retriever.data.corpus import Corpus
        from uec_retriever.utility_labeler.mining import Passages, given_pairs, mine

        passages = None
        if self.data is not None:
            with status("Reading the corpus"):
                passages = Passages(document.record for document in Corpus(self.data))
        wanted = self._find_questions() if self.generation is None else self._generate(labeler, passages, out)
        if self.limit is not None and self.limit < len(wanted):
            chosen = np.random.default_rng(self.mining.seed).permutation(len(wanted))[: self.limit]
            wanted = [wanted[i] for i in sorted(chosen.tolist())]
        if passages is None:
            return list(given_pairs(wanted))
        with status("Mining candidates"):
            return list(mine(wanted, passages, self._ranker(passages), self.mining))

    def _find_questions(self) -> list[Question]:
        from uec_retriever.utility_labeler.questions import Questions

        source = Questions(self.questions or self.data or Path(), self.split, self.skip_unanswered)
        found = list(source)
        if source.skipped:
            errors.print(f"{len(source.skipped)} questions without an answer are passed over")
        return found

    def _generate(self, labeler: Labeler, passages: Passages | None, out: Path) -> list[Question]:
        from uec_retriever.utility_labeler.generation import generate_questions

        given = (self.questions, self.split, self.limit)
        if passages is None or any(option is not None for option in given):
            raise WrongUsageError(
                "--generate needs --data, and makes the questions: no --questions, --split, --limit"
            )
        assert self.generation is not None
        path = out.with_name(out.name + ".generated.jsonl")
        total = min(self.generation.questions, len(passages.ids))
        with bar("Making questions", total) as progress:
            made = generate_questions(labeler, passages, path, self.generation, progress)
        errors.print(f"{path}: {len(made)} of {total} generated questions passed the round trip")
        return made

    def _ranker(self, passages: Passages) -> Ranker:
        from uec_retriever.utility_labeler.mining import BM25, IndexNeighbours

        if self.index is None:
            return BM25(passages)
        from uec_retriever.engine.engine import Engine

        return IndexNeighbours(Engine.open(self.index), passages)


def show_inspection(found: Inspection) -> None:
    """Print an inspection for people."""
    output.print(
        f"{found.labels} labels of {found.questions} questions, run {', '.join(found.runs)}; "
        f"{found.truncated} with a passage cut to fit"
    )
    output.print(f"{found.helps:.0%} of the passages help (utility above 0, nats)")
    for source, (number, mean) in found.sources.items():
        output.print(f"  {source:<7}{number:>8} labels, mean utility {mean:+.3f}")
    names = ("min", "5 %", "25 %", "median", "75 %", "95 %", "max")
    pairs = zip(names, found.quantiles, strict=True)
    output.print("  " + "   ".join(f"{name} {value:+.2f}" for name, value in pairs))
    highest = max(found.histogram)
    for low, high, count in zip(found.edges[:-1], found.edges[1:], found.histogram, strict=True):
        output.print(f"{low:+7.2f} to {high:+6.2f} {'█' * round(_BAR_WIDTH * count / highest)} {count}")
    if found.gold is None:
        output.print("no question has both gold and other passages: nothing to say of gold first")
    else:
        output.print(
            f"gold first: {found.gold.rate:.1%} of {found.gold.questions} questions (chance {found.gold.chance:.1%})"
        )
    for group in found.examples:
        _show_question(group)


def _show_question(group: Sequence[Label]) -> None:
    """The best and the worst passages of a question."""
    output.print()
    output.print(Text(f"{group[0].question}", style="bold"))
    table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    table.add_column("utility", justify="right", no_wrap=True, min_width=7)
    table.add_column("from", no_wrap=True, min_width=6)
    table.add_column("id", overflow="fold", min_width=8, max_width=24)
    table.add_column("passage", overflow="ellipsis", no_wrap=True, ratio=1)
    shown = list(group) if len(group) <= 2 * _ENDS else [*group[:_ENDS], *group[-_ENDS:]]
    for label in shown:
        gold = label.relevance is not None and label.relevance > 0
        origin = Text(label.source, style="green" if gold else "")
        text = Text(" ".join(label.passage[:400].split()))
        table.add_row(f"{label.utility:+.3f}", origin, Text(label.passage_id), text)
    output.print(Text(f"answer: {shown[0].answer}"))
    output.print(table)
