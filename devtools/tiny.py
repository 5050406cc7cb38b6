"""Tiny randomly initialised sentence-transformers models of many architectures, without downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

_WORDS = (
    "the a of to and in is for on with that this text word model wing boundary layer flow heat supersonic "
    "aircraft pressure what how why does which uncertainty probe second longer somewhat so padding pooling show "
    "hello world cat dog bird red green blue small large query document one two three four five six seven"
).split()
_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
HIDDEN = 32
_SIZES: dict[str, dict[str, Any]] = {
    "bert": {"intermediate_size": 64},
    "mpnet": {"intermediate_size": 64},
    "xlm-roberta": {"intermediate_size": 64},
    "modernbert": {"intermediate_size": 48, "global_attn_every_n_layers": 1},
    "nomic_bert": {"intermediate_size": 64},
    "qwen3": {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8},
    "mistral": {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8},
    "gemma3_text": {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8},
    "albert": {"intermediate_size": 64, "embedding_size": 16},
    "distilbert": {"dim": HIDDEN, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
}
ARCHITECTURES = tuple(name for name in _SIZES if name != "albert")
DECODERS = ("qwen3", "mistral", "gemma3_text")


def tokenizer(*, left: bool = False) -> PreTrainedTokenizerFast:
    """A word-level tokenizer over a fixed small vocabulary; `[CLS] text [SEP]`."""
    vocabulary = {word: i for i, word in enumerate([*_SPECIAL.values(), *dict.fromkeys(_WORDS)])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, model_max_length=64, padding_side="left" if left else "right", **_SPECIAL
    )


def tiny_transformer(folder: Path, architecture: str, *, seed: int = 0, layers: int = 2) -> Transformer:
    """A Transformer module of an architecture of `ARCHITECTURES` (or `albert`), weights saved in `folder`."""
    words = tokenizer(left=architecture in DECODERS)
    common = {
        "vocab_size": len(words),
        "hidden_size": HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 80,
        "pad_token_id": 0,
    }
    if architecture == "distilbert":
        common = {k: common[k] for k in ("vocab_size", "max_position_embeddings", "pad_token_id")}
    config = AutoConfig.for_model(architecture, **{**common, **_SIZES[architecture]})
    torch.manual_seed(seed)
    model = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in model.parameters():  # initial scales are tiny: make layers matter
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
        else:
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    module: Transformer = Transformer(str(folder), max_seq_length=48)
    return module


def tiny_model(
    folder: Path, architecture: str = "bert", *, pooling: str = "mean", seed: int = 0, **options: Any
) -> SentenceTransformer:
    """Transformer, pooling, normalisation; `options` go to `SentenceTransformer`."""
    transformer = tiny_transformer(folder, architecture, seed=seed)
    modules = [transformer, Pooling(HIDDEN, pooling_mode=pooling), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu", **options)
