"""Whether a torch device is there."""

from __future__ import annotations

import torch

from uec_retriever.errors import InvalidInputError, show

_ADVICE = {"cuda": "a GPU and a torch built for it", "mps": "a Mac with Apple silicon"}


def check_device(device: str | None) -> None:
    """Refuse a device that there is none of, before a library fails on it with a message of its own.

    Args:
        device: as torch calls it, such as `cpu`, `cuda` or `cuda:1`; None, the library's choice, is always there.

    Raises:
        InvalidInputError: for a name that is no device's, or a device that this machine or this torch does not have.
    """
    if device is None:
        return
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidInputError(
            f"there is no device {show(device)}: give cpu, cuda (cuda:1 for the second GPU) or mps"
        ) from error
    try:
        torch.zeros(1, device=wanted).cpu()
    except Exception as error:  # AssertionError, RuntimeError, NotImplementedError: each backend has its own
        needs = f", which needs {_ADVICE[wanted.type]}" if wanted.type in _ADVICE else ""
        name = wanted.type.upper() if wanted.index is None else str(wanted)
        raise InvalidInputError(f"no {name} here{needs}: give the device cpu (--device cpu)") from error
