"""Optional dependencies of training: whether they are there and go together, with the command that installs them."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

from uec_retriever.errors import MissingExtraError


def require_train(*, lora: bool = False) -> None:
    """Raise unless the trainer's dependencies are there.

    Args:
        lora: whether LoRA adapters are to be trained, too.

    Raises:
        MissingExtraError: with the command that installs what is missing.
    """
    if find_spec("accelerate") is None or find_spec("datasets") is None:
        raise MissingExtraError('training needs accelerate and datasets: pip install "uec-retriever[train]"')
    if lora and (problem := lora_problem()):
        raise MissingExtraError(problem)


def lora_problem() -> str | None:
    """Why LoRA adapters cannot be trained with what is installed, and the fix; None if they can.

    A very small transformer gets an adapter and runs: that tells more than version numbers, since transformers asks
    for a newer peft than is needed for what is done here.
    """
    if find_spec("peft") is None:
        return 'LoRA needs peft: pip install "uec-retriever[lora]"'
    installed = {package: version(package) for package in ("peft", "transformers")}
    if (error := _adapter_error()) is None:
        return None
    return (
        f"peft {installed['peft']} and transformers {installed['transformers']} do not work together ({error}): "
        f'pip install --upgrade peft, or, if there is no newer one, "transformers<{installed["transformers"]}"'
    )


def _adapter_error() -> str | None:
    import torch
    from transformers import BertConfig, BertModel

    try:
        from peft import LoraConfig, inject_adapter_in_model

        config = BertConfig(
            vocab_size=2, hidden_size=2, num_hidden_layers=1, num_attention_heads=1, intermediate_size=2
        )
        with torch.random.fork_rng(devices=[]):
            model = BertModel(config)
            inject_adapter_in_model(LoraConfig(r=1, target_modules="all-linear"), model)
        model(torch.tensor([[0, 1]]))
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None
