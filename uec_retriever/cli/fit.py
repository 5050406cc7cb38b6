"""`uec fit`: the posterior of one expert, without embedding a corpus."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from uec_retriever.cli.common import (
    BATCH,
    DEVICE,
    EXPERT_HELP_ONE,
    JSON,
    TRUST,
    WrongUsageError,
    bar,
    errors,
    load_experts,
    must_exist,
    output,
    print_json,
    refuse_unused,
    short,
)
from uec_retriever.cli.recipe import (
    ALL_PAIRS,
    DEFAULT_PAIRS,
    FORMAT,
    PAIRS,
    STRUCTURE,
    TEXT,
    TITLE,
    Structure,
    sample_documents,
)


def fit(
    context: typer.Context,
    expert: Annotated[str, typer.Option(help=EXPERT_HELP_ONE, show_default=False)],
    out: Annotated[Path, typer.Option(help="Posterior file to write, .safetensors.", show_default=False)],
    corpus: Annotated[
        Path | None, typer.Option(callback=must_exist, help="Corpus to make calibration pairs from.")
    ] = None,
    pairs: PAIRS = None,
    max_pairs: ALL_PAIRS = DEFAULT_PAIRS,
    structure: STRUCTURE = None,
    tau: Annotated[float, typer.Option(min=1e-6, help="Temperature of the in-batch softmax.")] = 0.05,
    text_column: TEXT = "text",
    title_column: TITLE = "title",
    format: FORMAT = None,
    device: DEVICE = None,
    batch_size: BATCH = 32,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Fit the posterior of one expert, to give it to several indexes (`uec index --posterior FILE`).

    Best on pairs of the domain that the expert was trained for.
    """
    from uec_retriever.data.corpus import Corpus, read_pairs
    from uec_retriever.data.documents import Columns

    if (corpus is None) == (pairs is None):
        raise WrongUsageError("give --corpus or --pairs, one of them")
    if pairs:
        refuse_unused(context, "--pairs", "max_pairs", "text_column", "title_column", "format")
        calibration = read_pairs(pairs)
    else:
        assert corpus is not None
        calibration = sample_documents(
            Corpus(corpus, Columns(text_column, title_column), format and f".{format.value}"), max_pairs
        )[1].pairs()
    [unfitted] = load_experts([expert], device, trust_remote_code)
    from uec_retriever.experts.fitting import fit_posterior
    from uec_retriever.laplace.files import save_posterior

    with bar("Fitting", 2 * len(calibration)) as progress:
        fit = fit_posterior(
            unfitted,
            calibration,
            structure=(structure or Structure.kron).value,
            tau=tau,
            batch_size=batch_size,
            progress=progress,
        )
    posterior = fit.expert.posterior
    assert posterior is not None
    save_posterior(out, posterior, fit.header)
    if json:
        told = {**asdict(fit.header), "file": str(out), "prior_precision": posterior.prior_precision}
        print_json({**told, "basis_error": fit.basis_error})
        return
    held = f"{fit.header.heldout_pairs} held-out ones" if calibration.can_hold_out else "none held out"
    output.print(
        f"{out}: {fit.header.structure} posterior of {fit.expert.label}, layer {fit.header.layer}, from "
        f"{fit.header.pairs} pairs ({fit.header.source}) and {held}; "
        f"prior precision {short(posterior.prior_precision)}, scale {short(posterior.scale)}"
    )
    if not calibration.can_hold_out:
        errors.print(
            "note: so few pairs that the variance scale was judged on those it was fitted on: give at least 32"
        )
