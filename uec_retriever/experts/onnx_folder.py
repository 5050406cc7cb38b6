"""What the folder of an ONNX model says beside the weights, laid out as sentence-transformers lays out its models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from uec_retriever.errors import InvalidInputError, ModelNotFoundError, UnsupportedModelError, show

POOLINGS = ("cls", "mean", "max")
_MODELS = ("onnx/model.onnx", "model.onnx")
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
}
KNOWN = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class OnnxFolder:
    """Files of a model, and its settings.

    Attributes:
        path: the folder.
        model: the ONNX file.
        tokenizer: the file `tokenizer.json`.
        modules: kind -> folder, in their order; empty where the folder does not tell.
        max_length: tokens that the model sees of a text; None for all.
        lower_case: whether texts are lowered before anything else.
        truncation_side: where a text is cut, `right` or `left`.
        pad: id of the token that fills up a batch.
        prompts: name -> prompt.
        default_prompt_name: of the prompt of roles that have none, if any.
    """

    path: Path
    model: Path
    tokenizer: Path
    modules: Mapping[str, Path]
    max_length: int | None
    lower_case: bool
    truncation_side: str
    pad: int
    prompts: Mapping[str, str]
    default_prompt_name: str | None

    @property
    def weights(self) -> list[Path]:
        """The ONNX file, and those beside it that hold its weights where they are apart, as past 2 GB."""
        return sorted(self.model.parent.glob(f"{self.model.name}*"))

    def pooling(self, told: str | None = None) -> str:
        """How token vectors become one: one of `POOLINGS`.

        Args:
            told: by the caller, who knows better; what the folder says if None.

        Raises:
            UnsupportedModelError: for another pooling, or a module that is not of transformer, pooling, normalisation.
        """
        if strangers := [kind for kind in self.modules if kind not in KNOWN]:
            raise UnsupportedModelError(
                f"{self.path} has a module {strangers[0]}, which its ONNX file leaves out: export the whole model, with an "
                "output sentence_embedding, or load it with sentence-transformers, without the prefix onnx:"
            )
        if told is not None:
            return told
        if "Pooling" not in self.modules:
            raise UnsupportedModelError(
                f"{self.path} does not say how token vectors become one (there is no Pooling in modules.json): give "
                f"pooling=, one of {list(POOLINGS)}, as the model was trained"
            )
        settings = _read(self.modules["Pooling"] / "config.json")
        flags = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value]
        mode = settings.get("pooling_mode", [_LEGACY.get(flag, flag) for flag in flags] or "mean")
        if isinstance(mode, list) and len(mode) == 1:
            mode = mode[0]
        if mode not in POOLINGS or not settings.get("include_prompt", True):
            told = "without the prompt" if mode in POOLINGS else show(mode)
            raise UnsupportedModelError(
                f"{self.path} pools token vectors {told}, only {list(POOLINGS)} are supported for ONNX: load the model with "
                "sentence-transformers, without the prefix onnx:"
            )
        return str(mode)


def fetch_folder(name: str, file_name: str | None = None, **options: Any) -> Path:
    """The folder of a model, downloaded if need be.

    Args:
        name: folder, or hub id.
        file_name: of the ONNX file; what `read_folder` looks for if None.
        **options: of `huggingface_hub.snapshot_download`, e.g. `revision`.

    Raises:
        ModelNotFoundError: if there is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    files = [f"{file}*" for file in ([file_name] if file_name else _MODELS)]
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", *files], **options))
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"there is no folder {name!r}, nor can it be had from the hub ({str(error).splitlines()[0]}): give a folder, e.g. "
            "one that `uec export-onnx MODEL FOLDER` made, or a hub id"
        ) from error


def read_folder(folder: Path, file_name: str | None = None) -> OnnxFolder:
    """Read what a folder says.

    Args:
        folder: of the model.
        file_name: of the ONNX file, relative to it; `onnx/model.onnx` or `model.onnx` if None.

    Raises:
        ModelNotFoundError: without ONNX file or tokenizer.
        InvalidInputError: for a file of settings that cannot be read.
    """
    modules = _modules(folder)
    root = modules.get("Transformer", folder)
    tokenizer, settings = root / "tokenizer.json", _read(root / "tokenizer_config.json")
    if not tokenizer.is_file():
        raise ModelNotFoundError(
            f"{root} has no tokenizer.json: save the model's tokenizer there, AutoTokenizer.from_pretrained(MODEL)"
            ".save_pretrained(FOLDER)"
        )
    own = next(iter(sorted(root.glob("sentence_*_config.json"))), root / "sentence_bert_config.json")
    transformer, config = _read(own), _read(root / "config.json")
    use = _read(folder / "config_sentence_transformers.json")
    return OnnxFolder(
        path=folder,
        model=_find_model(folder, file_name),
        tokenizer=tokenizer,
        modules=modules,
        max_length=transformer.get("max_seq_length") or _window(settings, config),
        lower_case=bool(transformer.get("do_lower_case", False)),
        truncation_side=settings.get("truncation_side", "right"),
        pad=config.get("pad_token_id") or 0,
        prompts=use.get("prompts") or {},
        default_prompt_name=use.get("default_prompt_name"),
    )


def _find_model(folder: Path, file_name: str | None) -> Path:
    names = (file_name,) if file_name else _MODELS
    for name in names:
        if (folder / name).is_file():
            return folder / name
    others = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.onnx"))
    fix = (
        f"give file_name=, one of {others}"
        if others
        else "make one with `uec export-onnx MODEL FOLDER`, or load the model without the prefix onnx:"
    )
    raise ModelNotFoundError(f"{folder} has no {' or '.join(names)}: {fix}")


def _modules(folder: Path) -> dict[str, Path]:
    """Kind, the last part of its class's name, -> folder."""
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["type"].rpartition(".")[2]: folder / entry["path"] for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(path, error) from error


def _window(tokenizer: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    """As sentence-transformers finds it where the model does not say."""
    limits = [tokenizer.get("model_max_length"), config.get("max_position_embeddings")]
    known = [int(limit) for limit in limits if limit and 0 < limit < 10**9]
    return min(known, default=None)


def _read(path: Path) -> dict[str, Any]:
    """Settings; none where there is no file."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        f"{path} is no JSON of sentence-transformers ({error}): copy the file of the model anew"
    )
