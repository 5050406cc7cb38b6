"""Optional dependencies of training, with the command that installs them."""

from __future__ import annotations

from importlib.util import find_spec

from uec_retriever.errors import MissingExtraError


def require_train() -> None:
    """Raise unless the trainer's dependencies are there.

    Raises:
        MissingExtraError: with the command that installs them.
    """
    if find_spec("accelerate") is None or find_spec("datasets") is None:
        raise MissingExtraError('training needs accelerate and datasets: pip install "uec-retriever[train]"')


def require_lora() -> None:
    """Raise unless peft is there.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    if find_spec("peft") is None:
        raise MissingExtraError('LoRA needs peft: pip install "uec-retriever[lora]"')
