"""`uec fit` and `uec recalibrate`: posteriors and trust, without embedding a corpus."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from uec_retriever.cli.common import (
    BATCH,
    COLLECTION,
    DEVICE,
    INDEX,
    JSON,
    MOVED,
    SERVER,
    TRUST,
    bar,
    load_experts,
    open_engine,
    output,
    print_json,
    short,
)
from uec_retriever.cli.making import (
    DEFAULT_PAIRS,
    LIMIT,
    PAIRS,
    STRUCTURE,
    TEMPERATURE,
    TEXT,
    TITLE,
    Structure,
    survey,
)
from uec_retriever.errors import InvalidInputError


def fit(
    expert: Annotated[
        str, typer.Option(help="A sentence-transformers model: hub id or folder.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Posterior file to write, .safetensors.", show_default=False)],
    corpus: Annotated[Path | None, typer.Option(help="Corpus to make calibration pairs from.")] = None,
    pairs: PAIRS = None,
    max_pairs: LIMIT = DEFAULT_PAIRS,
    structure: STRUCTURE = None,
    tau: Annotated[float, typer.Option(min=1e-6, help="Temperature of the in-batch softmax.")] = 0.05,
    text_column: TEXT = "text",
    title_column: TITLE = "title",
    device: DEVICE = None,
    batch_size: BATCH = 32,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Fit the posterior of one expert, to give it to several indexes (`uec index --posterior FILE`).

    Best on pairs of the domain that the expert was trained for.
    """
    from uec_retriever.data.corpus import Columns, Corpus

    if (corpus is None) == (pairs is None):
        raise InvalidInputError("give --corpus or --pairs, one of them")
    documents = Corpus(corpus, Columns(text_column, title_column)) if corpus else None
    calibration = survey(documents, pairs, max_pairs)[1]()
    [loaded] = load_experts([expert], device, trust_remote_code)
    from uec_retriever.experts.fitting import fit_posterior
    from uec_retriever.laplace.files import save_posterior

    with bar("Fitting", 2 * len(calibration)) as progress:
        made = fit_posterior(
            loaded,
            calibration,
            structure=(structure or Structure.kron).value,
            tau=tau,
            batch_size=batch_size,
            progress=progress,
        )
    save_posterior(out, made.posterior, made.header)
    if json:
        print_json(
            {**asdict(made.header), "file": str(out), "prior_precision": made.posterior.prior_precision}
        )
        return
    output.print(
        f"{out}: {made.header.structure} posterior of {loaded.label}, layer {made.header.layer}, from "
        f"{made.header.pairs} pairs ({made.header.source}) and {made.header.heldout_pairs} held-out ones; "
        f"prior precision {short(made.posterior.prior_precision)}, scale {short(made.posterior.scale)}"
    )


def recalibrate(
    index: INDEX,
    pairs: PAIRS = None,
    max_pairs: LIMIT = DEFAULT_PAIRS,
    temperature: TEMPERATURE = None,
    expert: MOVED = None,
    server: SERVER = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Set trust, deviations and temperature of an index anew, without embedding its texts again.

    Worth it when the corpus has grown a lot, or when real questions with their answers have become known
    (`--pairs`). Another structure, layout or model needs `uec reindex`. A calibrated confidence is dropped: run
    `uec calibrate-confidence` again.
    """
    from uec_retriever.data.pairs import pseudo_pairs

    engine = open_engine(index, expert, server, collection, device, trust_remote_code)
    if pairs:
        calibration = survey(None, pairs, max_pairs)[1]()
    else:
        calibration = pseudo_pairs((r.text for page in engine.pages() for r in page), limit=max_pairs)
    with bar("Calibrating", 2 * len(calibration) * len(engine.experts)) as progress:
        manifest = engine.recalibrate(calibration, temperature=temperature, progress=progress)
    if json:
        print_json(asdict(manifest))
        return
    priors = ", ".join(f"{e.label} {e.prior:.0%}" for e in manifest.experts)
    output.print(f"temperature {short(manifest.temperature)}; prior trust: {priors}; on {manifest.reference}")
