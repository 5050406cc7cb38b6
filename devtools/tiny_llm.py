"""Tiny randomly initialised causal language models, as folders of transformers or as GGUF files, without downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from devtools.tiny import HIDDEN, tokenizer

CONTEXT = 160
CHAT_TEMPLATE = (
    "{% for message in messages %}[CLS] {{ message['role'] }} {{ message['content'] }} [SEP] {% endfor %}"
    "{% if add_generation_prompt %}[CLS] answer {% endif %}"
)
_LLAMA = {"intermediate_size": 64, "num_key_value_heads": 2}
SIZES: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "gpt2": {"n_positions": CONTEXT},
    "gemma2": {**_LLAMA, "head_dim": 8, "sliding_window": 24},
    "gemma3_text": {
        **_LLAMA,
        "head_dim": 8,
        "sliding_window": 24,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "granite": {**_LLAMA, "logits_scaling": 8.0},
    "bloom": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": HIDDEN},
    "mamba": {},
    "bert": {"intermediate_size": 64},
}


def tiny_llm(folder: Path, architecture: str = "llama", *, seed: int = 0, chat: bool = False) -> Path:
    """A saved model with the word-level tokenizer of `devtools.tiny`; `bert` is no causal one."""
    words = tokenizer()
    words.model_max_length = int(1e30)
    if chat:
        words.chat_template = CHAT_TEMPLATE
    config = AutoConfig.for_model(
        architecture,
        **{
            "vocab_size": len(words),
            "hidden_size": HIDDEN,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": CONTEXT,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            **SIZES[architecture],
        },
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in model.parameters():  # initial scales are tiny: make layers matter
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
