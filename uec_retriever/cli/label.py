"""`uec label` and `uec label inspect`: how useful passages are to a language model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from uec_retriever.cli.common import (
    ENGINE,
    GPUS,
    JSON,
    TRUST,
    WORKERS,
    WrongUsageError,
    bar,
    device_there,
    must_exist,
    output,
    print_json,
    quiet_libraries,
    refuse_unused,
    status,
)
from uec_retriever.cli.labelling import PairSource, Style, choose_prompts, show_inspection
from uec_retriever.errors import InvalidInputError
from uec_retriever.utility_labeler.judge import Dtype, Quantize
from uec_retriever.utility_labeler.judge_spec import JudgeSpec
from uec_retriever.utility_labeler.utility import Answers, Baseline, LabelOptions, Normalise

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")


@app.callback()
def label(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            callback=must_exist,
            help="BEIR folder (corpus.jsonl, queries.jsonl with answers, qrels); only its corpus with --generate.",
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            callback=must_exist,
            help="JSONL file of questions with answers, and candidates unless --data has the corpus.",
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Causal language model: hub id, folder or GGUF file; with --server its name there."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Label file to write, or to go on with.")] = Path("labels.jsonl"),
    split: Annotated[
        str | None, typer.Option(help="Questions of qrels/SPLIT.tsv, whose gold passages are then known.")
    ] = None,
    candidates: Annotated[int, typer.Option(min=1, help="Passages per question.")] = 8,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many questions, a random choice.")
    ] = None,
    miner: Annotated[Literal["bm25", "index"], typer.Option(help="Who finds them.")] = "bm25",
    index: Annotated[
        Path | None, typer.Option(help="UEC index of the same corpus, for --miner index.")
    ] = None,
    random_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the candidates that are random passages.")
    ] = 0.25,
    within_group: Annotated[
        bool, typer.Option(help="Only passages of the question's own metadata.group.")
    ] = False,
    group_candidates: Annotated[
        int, typer.Option(min=0, help="So many more passages of the question's own metadata.group.")
    ] = 0,
    skip_unanswered: Annotated[bool, typer.Option(help="Pass over questions without an answer.")] = False,
    generate: Annotated[
        int | None,
        typer.Option(min=1, help="Make questions and answers from so many passages of the corpus."),
    ] = None,
    min_gain: Annotated[
        float, typer.Option(help="Nats per token that a generated answer must gain with its own passage.")
    ] = 0.1,
    gguf_file: Annotated[str | None, typer.Option(help="GGUF file in that folder or repository.")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of the hub repository.")] = None,
    dtype: Annotated[
        Dtype, typer.Option(help="Precision; auto: float32 on the CPU, else bfloat16.")
    ] = "auto",
    device: Annotated[
        str | None, typer.Option(callback=device_there, help="Torch device, e.g. cpu or cuda.")
    ] = None,
    quantize: Annotated[Quantize, typer.Option(help="int8: faster on a CPU, but labels change.")] = "none",
    server: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible server with log-probabilities of prompts, ending in /v1; its key in OPENAI_API_KEY."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Tokenizer of the model on the server, if not that of --llm.")
    ] = None,
    prompt_style: Annotated[
        Style, typer.Option(help="Chat template or plain prompt; auto takes the template if there is one.")
    ] = "auto",
    prompt: Annotated[
        list[Path] | None,
        typer.Option(
            callback=must_exist,
            help="JSON file with a prompt of yours (with_passage, without_passage, ...). Repeatable.",
        ),
    ] = None,
    paraphrases: Annotated[
        int, typer.Option(min=1, max=3, help="Average over so many wordings of our prompt.")
    ] = 1,
    normalise: Annotated[
        Normalise, typer.Option(help="Log-likelihood per token, or of the whole answer.")
    ] = "mean",
    baseline: Annotated[
        Baseline, typer.Option(help="Compare with no passage, or with a neutral one.")
    ] = "none",
    answers: Annotated[
        Answers,
        typer.Option(help="Of several answers: the first, the mean, or the likeliest with the passage."),
    ] = "max",
    max_tokens: Annotated[
        int | None, typer.Option(min=2, help="Context to use, if not all of the model's.")
    ] = None,
    chunk: Annotated[int, typer.Option(min=1, help="Pairs between two flushes to the disk.")] = 64,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a batch.")] = 2048,
    engine: ENGINE = "local",
    workers: WORKERS = 2,
    gpus: GPUS = 0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Label how much each passage helps a language model to find a question's answer.

    Writes one JSON line per question and passage, with a manifest beside the file. Run the same command
    again after an interruption: it goes on where it stopped.

    Example: `uec label --data qasper --llm HuggingFaceTB/SmolLM2-135M-Instruct --split train --candidates 8
    --out labels.jsonl`, then `uec label inspect labels.jsonl`
    """
    if context.invoked_subcommand is not None:
        return
    if llm is None or (data is None and questions is None):
        raise WrongUsageError("say what to label and with which model: --data or --questions, and --llm")
    _check_pairings(context)
    quiet_libraries()
    from uec_retriever.utility_labeler.generation import Generation
    from uec_retriever.utility_labeler.labeler import Labeler
    from uec_retriever.utility_labeler.mining import Mining
    from uec_retriever.utility_labeler.run import label_utilities
    from uec_retriever.utility_labeler.scoring import Budget

    loading: dict[str, object] = {"gguf_file": gguf_file, "trust_remote_code": trust_remote_code}
    if server is None:
        loading |= {"revision": revision, "dtype": dtype, "device": device, "quantize": quantize}
        loading |= {"budget": Budget(batch_tokens)}
    else:
        loading |= {"tokenizer": tokenizer}
    spec = JudgeSpec(llm, server, loading)
    with status("Loading the language model"):
        judge = spec.load()
    options = LabelOptions(normalise=normalise, baseline=baseline, answers=answers, max_tokens=max_tokens)
    prompts = choose_prompts(judge, prompt, prompt_style, paraphrases)
    mining = Mining(candidates, random_share, within_group, seed, group_candidates)
    generation = None if generate is None else Generation(generate, min_gain, seed)
    source = PairSource(data, questions, index, split, limit, skip_unanswered, mining, generation)
    pairs = source.find_pairs(Labeler(judge, prompts, options), out)
    execute = None
    if engine == "ray":
        from uec_retriever.utility_labeler.ray_engine import RayEngine

        execute = RayEngine(spec, workers=workers, gpus=gpus)
    with bar("Labelling", len(pairs)) as progress:
        report = label_utilities(
            judge,
            pairs,
            out,
            prompts=prompts,
            options=options,
            chunk=chunk,
            data=source.describe(),
            progress=progress,
            execute=execute,
        )
    if json:
        print_json({**asdict(report), "path": str(report.path)})
        return
    output.print(
        f"{report.path}: {report.pairs} labels, {report.labelled} of them new, {report.truncated} with a passage "
        f"cut to fit; run {report.run}",
        soft_wrap=True,
    )


def _check_pairings(context: typer.Context) -> None:
    """Refuse options whose partner is missing."""
    given = context.params
    if (given["index"] is not None) != (given["miner"] == "index"):
        raise WrongUsageError("--index goes with --miner index")
    if given["server"] is None and given["tokenizer"] is not None:
        raise WrongUsageError("--tokenizer goes with --server")
    if given["server"] is not None:
        refuse_unused(context, "--server", "revision", "dtype", "device", "quantize", "batch_tokens")
    if given["generate"] is None:
        refuse_unused(context, "no --generate", "min_gain")
    if given["engine"] == "local":
        refuse_unused(context, "--engine local", "workers", "gpus")


@app.command("inspect")
def inspect(
    labels: Annotated[Path, typer.Argument(callback=must_exist, help="Label file.", show_default=False)],
    questions: Annotated[int, typer.Option(min=0, help="Questions to show.")] = 3,
    bins: Annotated[int, typer.Option(min=2, help="Bars of the histogram.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the choice of questions.")] = 0,
    json: JSON = False,
) -> None:
    """Show what a label file says: its utilities, some questions, and how often gold comes first."""
    from uec_retriever.utility_labeler.inspection import inspect_labels
    from uec_retriever.utility_labeler.labels import read_labels

    found = list(read_labels(labels))
    if not found:
        raise InvalidInputError(f"{labels} holds no labels")
    inspection = inspect_labels(found, bins=bins, examples=questions, seed=seed)
    if json:
        print_json(asdict(inspection))
    else:
        show_inspection(inspection)
