"""The prompt that goes before a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from uec_retriever.experts.head import Role

PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
    "text": (),
}


class Prompted(Protocol):
    """What has prompts: a sentence-transformers model, or one in ONNX."""

    @property
    def prompts(self) -> Mapping[str, str | None]:
        """Name -> prompt."""
        ...

    @property
    def default_prompt_name(self) -> str | None:
        """Of the prompt for roles that have none, if any."""
        ...


def choose_prompt(model: Prompted, role: Role, preferred: Sequence[str] = ()) -> str | None:
    """The prompt that goes before texts of a role, as `encode_query` / `encode_document` / `encode` choose.

    Args:
        model: which may have prompts.
        role: of the texts.
        preferred: names of prompts that go before the role's own, where the model has them.
    """
    prompts = model.prompts
    for name in (*preferred, *PROMPT_NAMES[role], model.default_prompt_name):
        if name is not None and name in prompts:
            return prompts[name] or None
    return None
