"""`uec eval`: evaluation on test collections."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uec_retriever.cli import eval_report, eval_retrieval, eval_similarity
from uec_retriever.cli.common import (
    DEVICE,
    JSON,
    TRUST,
    errors,
    output,
    print_json,
    quiet_libraries,
    result_table,
    status,
)
from uec_retriever.errors import InvalidInputError

if TYPE_CHECKING:
    from uec_retriever.utility_labeler.judge import Judge

app = typer.Typer(no_args_is_help=True, help="Evaluate on test data: retrieval, similarity, classification.")
eval_report.register(app)
eval_retrieval.register(app)
eval_similarity.register(app)


@app.callback()
def evaluation() -> None:
    """Evaluate on test data: retrieval, similarity, classification."""


@app.command("uae")
def uae(
    data: Annotated[Path, typer.Option(help="BEIR folder.", show_default=False)],
    model: Annotated[
        list[str],
        typer.Option(
            help="A bi-encoder as LABEL=PATH. Repeat; the first is the baseline.", show_default=False
        ),
    ],
    split: Annotated[str, typer.Option(help="Which qrels. Choose on train, report on test.")] = "test",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="corpus, group (inside the question's own group), or both. What the data offers if absent."
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Language model that re-ranks by query likelihood and answers: hub id, folder, GGUF file."
        ),
    ] = None,
    gguf_file: Annotated[str | None, typer.Option(help="Name of the GGUF file in that repository.")] = None,
    cross_encoder: Annotated[
        list[str] | None, typer.Option(help="A cross-encoder as LABEL=PATH that re-ranks. Repeatable.")
    ] = None,
    rerank_depth: Annotated[int, typer.Option(help="Candidates that are re-ranked.")] = 10,
    compose: Annotated[
        str | None, typer.Option(help="Label of a model whose candidates are re-ranked too, and blended.")
    ] = None,
    answers: Annotated[
        int, typer.Option(help="Questions that the language model answers, for Token F1; 0 for none.", min=0)
    ] = 0,
    passages: Annotated[int, typer.Option(help="Passages that it reads for an answer.", min=1)] = 1,
    max_tokens: Annotated[
        int | None, typer.Option(help="Tokens of its prompts; what the model can read if absent.")
    ] = None,
    queries: Annotated[int | None, typer.Option(help="At most this many questions, a random sample.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for uae.json.")] = None,
    seed: Annotated[int, typer.Option(help="Of samples and bootstrap.")] = 0,
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Compare bi-encoders, and re-rankers over the first one's candidates.

    Hit@1, Recall@1, MAP, nDCG@10 and Token F1 with 95 % bootstrap intervals, and milliseconds per query.

    Example: `uec eval uae --data qasper --model base=MODEL --model uae=my-model --llm JUDGE --answers 100`
    """
    named = [_named(spec, "--model") for spec in model]
    crossed = [_named(spec, "--cross-encoder") for spec in cross_encoder or ()]
    for option, pairs in (("--model", named), ("--cross-encoder", crossed)):
        if len({label for label, _ in pairs}) < len(pairs):
            raise InvalidInputError(f"two of {option} have the same label: name them apart")
    if answers and llm is None:
        raise InvalidInputError("--answers needs a language model: give --llm")
    with status("Loading"):
        quiet_libraries()
        from uec_retriever.evaluation.answers import Answerer
        from uec_retriever.evaluation.collection import load_collection
        from uec_retriever.evaluation.rankers import CrossEncoderScorer, LikelihoodScorer, PairScorer
        from uec_retriever.evaluation.report import provenance
        from uec_retriever.evaluation.study import StudyOptions, run_study
        from uec_retriever.experts.loading import load_cross_encoder, load_model

        options = StudyOptions(rerank_depth, answers, compose, tuple(scope) if scope else None, seed)
        begun = provenance(seed)
        collection = load_collection(data, split).sample(queries, seed)
        loading: dict[str, Any] = {"device": device, "trust_remote_code": trust_remote_code}
        systems = {label: load_model(path, **loading) for label, path in named}
        rerankers: dict[str, PairScorer] = {
            label: CrossEncoderScorer(load_cross_encoder(path, **loading)) for label, path in crossed
        }
        judge = _judge(llm, gguf_file, device, trust_remote_code)
        if judge is not None:
            rerankers["LLM"] = LikelihoodScorer(judge, max_tokens=max_tokens)
        answerer = Answerer(judge, passages, max_tokens=max_tokens) if judge and answers else None
    with status("Evaluating") as spinner:
        result = run_study(
            collection,
            systems,
            options,
            rerankers=rerankers,
            answerer=answerer,
            progress=lambda what, done, total: _tell(spinner, what, done, total),
        )
    models = {"models": dict(named), "cross_encoders": dict(crossed)}
    full = {**begun, **models, "llm": judge.description if judge else None, **result}
    if out:
        from uec_retriever.atomic import write_atomically

        write_atomically(
            out / "uae.json", (json_module.dumps(full, indent=1, ensure_ascii=False) + "\n").encode()
        )
        errors.print(f"written to {out / 'uae.json'}")
    if json:
        print_json(full)
        return
    _show(result)


def _named(spec: str, option: str) -> tuple[str, str]:
    label, separator, path = spec.partition("=")
    if not (label and separator and path):
        raise InvalidInputError(f"{option} {spec!r}: say LABEL=PATH")
    return label, path


def _judge(llm: str | None, gguf_file: str | None, device: str | None, trust: bool) -> Judge | None:
    if llm is None:
        return None
    from uec_retriever.utility_labeler.local import LocalJudge

    return LocalJudge.load(llm, gguf_file=gguf_file, device=device, trust_remote_code=trust)


def _tell(spinner: Any, what: str, done: int, total: int) -> None:
    if spinner is not None:
        spinner.update(f"{what} {done}/{total}" if total else what)


def _show(result: dict[str, Any]) -> None:
    from uec_retriever.evaluation.report import table

    names = {"corpus": "over the whole corpus", "group": "inside each question's group"}
    for scope in result["scopes"]:
        columns, rows = table(result, scope)
        title = f"{result['dataset']} {result['split']}, {result['queries']} questions, {names[scope]}"
        output.print(result_table(title, columns, rows))
    output.print(f"* the paired 95 % interval of the difference to {result['baseline']} leaves out 0")
