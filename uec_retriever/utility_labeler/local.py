"""A judge whose model is loaded here: any causal language model that transformers can load."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import torch

from uec_retriever.checks.device import check_device
from uec_retriever.data.provenance import digest
from uec_retriever.errors import (
    InvalidInputError,
    MissingExtraError,
    ModelNotFoundError,
    NumericalError,
)
from uec_retriever.utility_labeler.encoding import tokenizer_fingerprint
from uec_retriever.utility_labeler.heads import AnswerHead
from uec_retriever.utility_labeler.judge import Dtype, Quantize, TokenSequence
from uec_retriever.utility_labeler.quantized import quantize_int8
from uec_retriever.utility_labeler.scoring import Budget, SequenceScorer

_FALLBACK_CONTEXT = 2048
_UNSET_CONTEXT = 1e9  # tokenizers say 1e30 for "unknown"
_GENERATE_AT_ONCE = 8


class LocalJudge:
    """A causal language model in memory.

    Args:
        model: of transformers, in evaluation mode.
        tokenizer: its tokenizer.
        name: where it came from, for people.
        budget: how much runs at once.
        details: what else describes the way it was loaded, for manifests and the fingerprint.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        budget: Budget | None = None,
        details: dict[str, Any] | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.model = model.eval()
        self._tokenizer = tokenizer
        self._details = {"name": name, **(details or {})}
        self._fingerprint = fingerprint or model_fingerprint(model, tokenizer)
        self._scorer = SequenceScorer(AnswerHead(model), budget or Budget())

    @classmethod
    def load(
        cls,
        name: str,
        *,
        gguf_file: str | None = None,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        quantize: Quantize = "none",
        trust_remote_code: bool = False,
        budget: Budget | None = None,
    ) -> LocalJudge:
        """Load a model.

        Args:
            name: hub id, folder, or the path of a GGUF file.
            gguf_file: name of the GGUF file in that repository or folder.
            revision: of the hub repository.
            dtype: `float32`, `bfloat16` or `float16`; `auto` is float32 on the CPU and bfloat16 elsewhere.
            device: torch device; CUDA where there is one, else the CPU.
            quantize: `int8` quantises the linear layers (CPU only): faster where the processor multiplies
                int8, and labels change; the benchmark `benchmarks.labels` states by how much.
            trust_remote_code: run code that comes with the model. Off unless you say so.
            budget: how much runs at once.

        Raises:
            ModelNotFoundError: if it cannot be loaded.
            MissingExtraError: if a GGUF file needs packages that are absent.
            InvalidInputError: for an unknown dtype, a device that is not there, or int8 off the CPU.
            UnsupportedModelError: if it is not causal.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        name, gguf_file = _split_gguf(name, gguf_file)
        if gguf_file is not None:
            require_gguf()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        precision = _precision(dtype, device)
        if quantize == "int8" and device != "cpu":
            raise InvalidInputError(
                "int8 quantisation is for the CPU: choose dtype bfloat16 on other devices"
            )
        check_device(device)
        options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        if gguf_file is not None:
            options["gguf_file"] = gguf_file
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(name, **options)
            model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=precision, **options)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            first = first.rstrip(". ")
            raise ModelNotFoundError(
                f"cannot load the language model {name!r}{f' ({gguf_file})' if gguf_file else ''}: {first}. "
                "Give a hub id, a folder with a causal language model, or a GGUF file"
            ) from error
        model = model.to(device).eval()
        model.requires_grad_(False)
        fingerprint = model_fingerprint(model, tokenizer)
        if quantize == "int8":
            model = quantize_int8(model)
            fingerprint = digest([fingerprint, "int8"])
        details = {
            "gguf_file": gguf_file,
            "revision": revision,
            "dtype": str(precision).removeprefix("torch."),
            "device": device,
            "quantize": quantize,
        }
        return cls(model, tokenizer, name=name, budget=budget, details=details, fingerprint=fingerprint)

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def context(self) -> int:
        """Tokens the model can read at once."""
        config = self.model.config.get_text_config()
        limits = (getattr(config, "max_position_embeddings", None), self._tokenizer.model_max_length)
        known = [int(limit) for limit in limits if limit and limit < _UNSET_CONTEXT]
        return min(known, default=_FALLBACK_CONTEXT)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights (with their precision), vocabulary and chat template."""
        return self._fingerprint

    @property
    def description(self) -> dict[str, Any]:
        """Name, precision and the way to logits."""
        scorer = self._scorer
        return {
            **self._details,
            "architecture": type(self.model).__name__,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "logits": scorer.head.way,
            "shared_beginnings": scorer.packs and scorer.budget.min_saving is not None,
        }

    def log_likelihoods(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """Log-likelihood of each answer, nats (see `Judge`).

        Raises:
            NumericalError: if one is not finite.
        """
        values = self._scorer.score(sequences)
        for position, value in enumerate(values):
            if not value < float("inf") or value == float("-inf"):
                raise NumericalError(
                    "the language model gave a likelihood that is not finite: try dtype float32", position
                )
        return values

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
        """Greedy continuations (see `Judge`), in small batches padded on the left."""
        texts: list[str] = []
        pad = self._tokenizer.pad_token_id
        pad = self._tokenizer.eos_token_id if pad is None else pad
        for start in range(0, len(prompts), _GENERATE_AT_ONCE):
            batch = prompts[start : start + _GENERATE_AT_ONCE]
            width = max(map(len, batch))
            ids = torch.tensor([[*[pad or 0] * (width - len(p)), *p] for p in batch])
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in batch])
            with _quiet():
                out = self.model.generate(
                    input_ids=ids.to(self.model.device),
                    attention_mask=mask.to(self.model.device),
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    pad_token_id=pad or 0,
                )
            texts += self._tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
        return texts


def require_gguf() -> None:
    """Check that GGUF files can be read.

    Raises:
        MissingExtraError: with the command that installs what is missing.
    """
    missing = [package for package in ("gguf", "accelerate") if find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f'GGUF files need {" and ".join(missing)}: pip install "uec-retriever[label]"'
        )


def model_fingerprint(model: Any, tokenizer: Any) -> str:
    """SHA-256 (hex) over all weights with shape and precision, the vocabulary and the chat template."""
    found = hashlib.sha256(tokenizer_fingerprint(tokenizer).encode())
    for parameter in model.parameters():
        found.update(f"{tuple(parameter.shape)} {parameter.dtype}".encode())
        data = parameter.detach().cpu().contiguous()
        found.update(data.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _split_gguf(name: str, gguf_file: str | None) -> tuple[str, str | None]:
    path = Path(name).expanduser()
    if gguf_file is None and path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelNotFoundError(f"there is no file {path}")
        return str(path.resolve().parent), path.name
    if path.is_dir():
        if gguf_file is not None and not (path / gguf_file).is_file():
            raise ModelNotFoundError(f"there is no file {gguf_file} in {path}")
        return str(path.resolve()), gguf_file
    return name, gguf_file


def _precision(dtype: str, device: str) -> torch.dtype:
    if dtype not in get_args(Dtype):
        raise InvalidInputError(f"dtype is {dtype!r}, not one of {', '.join(get_args(Dtype))}")
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    precision: torch.dtype = getattr(torch, dtype)
    return precision


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' notices on deprecation and generation settings."""
    chatty = logging.getLogger("transformers.generation.utils")
    level = chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        chatty.setLevel(level)
