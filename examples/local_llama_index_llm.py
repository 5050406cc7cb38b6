"""SmolLM2-135M-Instruct as an LLM of LlamaIndex, on the CPU and offline.

For an application take `llama-index-llms-huggingface`; this keeps what the examples install small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms import CustomLLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from devtools.models import SMOLLM2, real_model


class LocalLLM(CustomLLM):
    """A small language model that decodes greedily."""

    max_new_tokens: int = 48
    _model: Any = PrivateAttr()
    _tokenizer: Any = PrivateAttr()

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        folder = real_model(SMOLLM2)  # made the first time, which takes most of a minute
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    @property
    def metadata(self) -> LLMMetadata:
        """How much it can read and write."""
        return LLMMetadata(
            context_window=2048, num_output=self.max_new_tokens, model_name=SMOLLM2, is_chat_model=True
        )

    @torch.inference_mode()
    def chat(self, messages: Sequence[ChatMessage], **options: Any) -> ChatResponse:
        """One answer."""
        chat = [{"role": m.role.value, "content": m.content or ""} for m in messages]
        given = self._tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = self._model.generate(
            **given, max_new_tokens=self.max_new_tokens, do_sample=False, repetition_penalty=1.1
        )
        text = self._tokenizer.decode(output[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
        return ChatResponse(message=ChatMessage(role="assistant", content=text.strip()))

    def complete(self, prompt: str, formatted: bool = False, **options: Any) -> CompletionResponse:
        """One answer to a single message."""
        answer = self.chat([ChatMessage(role="user", content=prompt)])
        return CompletionResponse(text=answer.message.content or "")

    def stream_complete(self, prompt: str, formatted: bool = False, **options: Any) -> NoReturn:
        """Left out."""
        raise TypeError("this LLM does not stream")
