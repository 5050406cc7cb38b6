"""Export of sentence-transformers models to ONNX, in int8 on demand; needs the extra `onnx`."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from uec_retriever.errors import InvalidInputError, MissingExtraError, UnsupportedModelError, show
from uec_retriever.experts.onnx import OnnxEmbedding
from uec_retriever.experts.onnx_folder import KNOWN, read_folder
from uec_retriever.gaussian import Array, lengths

_TRACED = ["a text to trace with", "two texts"]
_CHECKED = [
    "wing",
    "the boundary layer of a wing in supersonic flow",
    "who discovered penicillin, and when? " * 8,
]
_SAME = 0.9999  # cosine, of a file that is not quantised
_FILE = "onnx/model.onnx"
_WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json")


def export_onnx(
    model: SentenceTransformer, folder: str | Path, *, quantise: Literal["int8"] | None = None
) -> float:
    """Write a folder that `Expert.load("onnx:FOLDER")` takes: the model's own without weights, and `onnx/model.onnx`.

    The transformer is exported, up to its token vectors, and then compared with the model on texts of other lengths than
    it was traced with.

    Args:
        model: of a transformer, pooling (`cls`, `mean` or `max`) and perhaps normalisation.
        folder: to make; it may exist if it is empty.
        quantise: `int8`, for weights and, as they come, activations; else they stay as they are.

    Returns:
        The lowest cosine of an embedding to the model's own, over a few texts; the measure of what int8 costs.

    Raises:
        MissingExtraError: without the packages onnx and onnxscript.
        InvalidInputError: if the folder is not empty, or for another quantisation.
        UnsupportedModelError: for a model of other modules, or one that cannot be exported faithfully.
    """
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise MissingExtraError(f'exporting to ONNX needs {missing[0]}: pip install "uec-retriever[onnx]"')
    if quantise not in (None, "int8"):
        raise InvalidInputError(f"quantise must be 'int8' or None, got {show(quantise)}")
    target = Path(folder).expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInputError(f"{target} is not empty: give a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary, _quiet():
        if strangers := [name for module in model if (name := type(module).__name__) not in KNOWN]:
            raise UnsupportedModelError(
                f"a model with a module {strangers[0]} cannot be exported, only one of {', '.join(KNOWN)}: use the model "
                "itself"
            )
        made = Path(temporary) / "made"
        model.save_pretrained(str(made), create_model_card=False)
        for pattern in _WEIGHTS:
            for file in made.rglob(pattern):
                file.unlink()
        (made / _FILE).parent.mkdir()
        (made / _FILE).touch()
        read_folder(made).pooling()  # refuses other modules before the work
        whole = Path(temporary) / "model.onnx" if quantise else made / _FILE
        _export(model, whole)
        if quantise:
            _quantise(whole, made / _FILE)
        cosine = _compare(model, made)
        if not quantise and cosine < _SAME:
            raise UnsupportedModelError(
                f"the exported model gives other embeddings (a cosine of {cosine:.4f} to its own): torch.onnx cannot export "
                f"{type(model[0].auto_model).__name__} faithfully, so use the model itself"
            )
        if target.exists():
            target.rmdir()
        shutil.move(made, target)
    return cosine


class _Tokens(torch.nn.Module):
    """Token vectors of a transformer, by positional arguments."""

    def __init__(self, transformer: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self.transformer, self.names = transformer, names

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.transformer(
            **dict(zip(self.names, inputs, strict=True)), return_dict=True
        ).last_hidden_state


def _export(model: SentenceTransformer, path: Path) -> None:
    features = model.tokenizer(_TRACED, padding=True, return_tensors="pt")
    names = list(features)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    transformer: Any = model[0].auto_model
    try:
        torch.onnx.export(
            _Tokens(transformer, names).eval(),
            tuple(features[name].to(model.device) for name in names),
            str(path),
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_shapes=(tuple({0: batch, 1: tokens} for _ in names),),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except Exception as error:  # torch's exporter raises what its stages do
        raise UnsupportedModelError(
            f"torch {torch.__version__} cannot export {type(transformer).__name__} to ONNX "
            f"({show(str(error).splitlines()[0] if str(error) else error)}): use the model itself, or another version of torch"
        ) from error


def _quantise(source: Path, target: Path) -> None:
    """Weights to int8 by output channel, activations as they come, each by its own range.

    Layers that narrow, as the second one of an MLP, stay as they are: few of their inputs are large, and these take the
    range from all others. One bit less than int8 has, as processors without VNNI overflow at the whole range.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(source).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    layers = [(node.name, shapes.get(node.input[1], ())) for node in graph.node if node.op_type == "MatMul"]
    narrowing = [name for name, shape in layers if len(shape) == 2 and shape[0] > shape[1]]
    quantize_dynamic(
        source,
        target,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        nodes_to_exclude=narrowing,
    )


def _compare(model: SentenceTransformer, folder: Path) -> float:
    exported = OnnxEmbedding(str(folder))
    found: Array = np.empty((len(_CHECKED), model.get_embedding_dimension() or 0), dtype=np.float32)
    for rows, vectors in exported.embed(_CHECKED, "text", batch_size=len(_CHECKED)):
        found[rows] = vectors / lengths(vectors, owner=str(folder))
    own = np.asarray(model.encode(_CHECKED, normalize_embeddings=True, show_progress_bar=False))
    return float((found * own).sum(axis=1).min())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes of libraries to their developers."""

    def is_ours(record: logging.LogRecord) -> bool:
        return "onnxruntime" not in record.pathname

    root, exporter = logging.getLogger(), logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    root.addFilter(is_ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            root.removeFilter(is_ours)
            exporter.setLevel(level)
