"""SmolLM2-135M-Instruct as a LangChain chat model, on the CPU and offline.

`langchain-huggingface` would do the same, but its releases still ask for huggingface-hub < 2.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage
from transformers import AutoModelForCausalLM, AutoTokenizer

from devtools.models import SMOLLM2, real_model

_ROLES = {"system": "system", "ai": "assistant"}


class LocalChat(SimpleChatModel):
    """A language model of transformers that decodes greedily.

    Attributes:
        model: the language model.
        tokenizer: with a chat template.
        max_new_tokens: longest answer.
    """

    model: Any
    tokenizer: Any
    max_new_tokens: int = 48

    @classmethod
    def load(cls, **options: Any) -> Self:
        """SmolLM2; the first time, unpacking it takes most of a minute."""
        folder = real_model(SMOLLM2)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return cls(model=model, tokenizer=AutoTokenizer.from_pretrained(folder), **options)

    @property
    def _llm_type(self) -> str:
        return SMOLLM2

    @torch.inference_mode()
    def _call(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        chat = [{"role": _ROLES.get(m.type, "user"), "content": str(m.text)} for m in messages]
        given = self.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = self.model.generate(
            **given, max_new_tokens=self.max_new_tokens, do_sample=False, repetition_penalty=1.1
        )
        answer: str = self.tokenizer.decode(
            output[0, given["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for end in stop or []:
            answer = answer.split(end)[0]
        return answer.strip()
