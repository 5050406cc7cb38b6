"""`uec export-onnx`: a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uec_retriever.cli.common import JSON, output, print_json, status


def export_onnx(
    model: Annotated[str, typer.Argument(help="Hub id or folder of a sentence-transformers model.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise: a quarter of the size, faster still.")
    ] = False,
    json: JSON = False,
) -> None:
    """Write a model as an ONNX file, which embeds queries some times faster on a CPU; index it as `onnx:OUT`.

    An index made with the model itself cannot go on with its ONNX file: the file has no last layer to read.

    Example: `uec export-onnx sentence-transformers/all-MiniLM-L6-v2 minilm-onnx --int8`
    """
    with status("Exporting"):
        from uec_retriever.experts import onnx_export
        from uec_retriever.experts.loading import load_model

        loaded = load_model(model, device="cpu")
        cosine = onnx_export.export_onnx(loaded, out, quantise="int8" if int8 else None)
    if json:
        print_json({"folder": str(out), "lowest_cosine": cosine})
        return
    output.print(
        f"written to {out}: use it as --expert onnx:{out}; its embeddings have a cosine of at least {cosine:.4f} to the model's"
    )
