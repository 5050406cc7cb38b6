"""`uec eval`: evaluation on test collections, and a page of its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from uec_retriever.cli import eval_confidence, eval_retrieval
from uec_retriever.cli.common import (
    DEVICE,
    JSON,
    TRUST,
    WrongUsageError,
    must_exist,
    output,
    print_json,
    quiet_libraries,
    status,
)
from uec_retriever.cli.eval_options import OUT, QUERIES, SEED, SPLIT, finish, split_labels

app = typer.Typer(no_args_is_help=True, help="Evaluate on test collections, and draw what was found.")
app.command("retrieval")(eval_retrieval.retrieval)
app.command("confidence")(eval_confidence.confidence)


@app.command("uae")
def uae(
    data: Annotated[Path, typer.Option(callback=must_exist, help="BEIR folder.", show_default=False)],
    model: Annotated[
        list[str],
        typer.Option(
            help="A bi-encoder as LABEL=PATH. Repeat; the first is the baseline.", show_default=False
        ),
    ],
    split: SPLIT = "test",
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
    queries: QUERIES = None,
    out: OUT = None,
    seed: SEED = 0,
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Compare bi-encoders, and re-rankers over the first one's candidates.

    Hit@1, Recall@1, MAP, nDCG@10 and Token F1 with 95 % bootstrap intervals, and milliseconds per query.

    Example: `uec eval uae --data qasper --model base=MODEL --model uae=my-model --llm JUDGE --answers 100`
    """
    named, crossed = _one_each("--model", model), _one_each("--cross-encoder", cross_encoder)
    if answers and llm is None:
        raise WrongUsageError("--answers needs a language model: give --llm")
    with status("Loading"):
        quiet_libraries()
        from uec_retriever.evaluation.collection import load_collection
        from uec_retriever.evaluation.provenance import provenance
        from uec_retriever.evaluation.rerankers import (
            Answerer,
            CrossEncoderReranker,
            LikelihoodReranker,
            Reranker,
        )
        from uec_retriever.evaluation.uae import UaeOptions, run_uae
        from uec_retriever.experts.loading import load_cross_encoder, load_model
        from uec_retriever.utility_labeler.local import LocalJudge

        options = UaeOptions(rerank_depth, answers, compose, tuple(scope) if scope else None, seed)
        begun = provenance(seed)
        collection = load_collection(data, split).sample(queries, seed)
        loading: dict[str, Any] = {"device": device, "trust_remote_code": trust_remote_code}
        models = {label: load_model(path, **loading) for label, path in named.items()}
        rerankers: dict[str, Reranker] = {
            label: CrossEncoderReranker(load_cross_encoder(path, **loading))
            for label, path in crossed.items()
        }
        judge = LocalJudge.load(llm, gguf_file=gguf_file, **loading) if llm else None
        if judge is not None:
            rerankers["LLM"] = LikelihoodReranker(judge, max_tokens)
        answerer = Answerer(judge, passages, max_tokens=max_tokens) if judge and answers else None
    with _spinner() as tell:
        result = run_uae(collection, models, options, rerankers=rerankers, answerer=answerer, progress=tell)
    used = {"models": named, "cross_encoders": crossed, "llm": judge.description if judge else None}
    finish("uae", {**begun, **used, **result}, out, json)


@app.command("report")
def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            callback=must_exist,
            help="JSON files that `uec eval` or the benchmarks wrote.",
            metavar="RESULT.json...",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.html and the figures.", show_default=False)],
    title: Annotated[str, typer.Option(help="Of the page.")] = "uec-retriever: evaluation",
    json: JSON = False,
) -> None:
    """Write one self-contained HTML page, and its figures as PNG files.

    Example: `uec eval report results/retrieval.json results/uae.json --out report`
    """
    with status("Drawing"):
        from uec_retriever.evaluation.report_page import read_results, write_report

        written = write_report(read_results(results), out, title)
    if json:
        print_json({"page": str(written.page), "figures": [str(f) for f in written.figures]})
        return
    output.print(f"written to {written.page}, and {len(written.figures)} figures beside it", soft_wrap=True)


def _one_each(option: str, specs: Sequence[str] | None) -> Mapping[str, str]:
    named = split_labels(option, specs)
    if any(len(values) > 1 for values in named.values()):
        raise WrongUsageError(f"two of {option} have the same label: name them apart")
    return {label: value for label, [value] in named.items()}


@contextmanager
def _spinner() -> Iterator[Callable[[str, int, int], None]]:
    with status("Evaluating") as spinner:

        def tell(what: str, done: int, total: int) -> None:
            if spinner is not None:
                spinner.update(f"{what} {done}/{total}" if total else what)

        yield tell
