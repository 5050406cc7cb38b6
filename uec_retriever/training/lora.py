"""LoRA adapters for training, merged into the weights afterwards (extra `lora`)."""

from __future__ import annotations

from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

from uec_retriever.errors import InvalidInputError
from uec_retriever.training.extras import require_train


def add_adapters(model: SentenceTransformer, rank: int, alpha: int) -> int:
    """Put adapters on all linear layers of the transformer, and freeze everything else.

    Args:
        model: gets the adapters, in place.
        rank: of the low-rank update, >= 1.
        alpha: the update's scale as a multiple of the rank: W + alpha * B A.

    Returns:
        How many adapters there are.

    Raises:
        MissingExtraError: without peft, or with one that does not go with the installed transformers.
        InvalidInputError: if the model has no transformer, e.g. `StaticEmbedding`.
    """
    require_train(lora=True)
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    transformer = next((m for m in model.modules() if isinstance(m, PreTrainedModel)), None)
    if transformer is None:
        raise InvalidInputError("LoRA needs a transformer, which this model has not: train it without --lora")
    config = LoraConfig(r=rank, lora_alpha=alpha * rank, lora_dropout=0.0, target_modules="all-linear")
    inject_adapter_in_model(config, transformer)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "lora_" in name
    return sum(isinstance(m, BaseTunerLayer) for m in model.modules())


def merge_adapters(model: SentenceTransformer) -> None:
    """Add the adapters to the weights and take them out: the model is a plain one again."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
        if hasattr(parent, "peft_config"):
            del parent.peft_config
    model.requires_grad_(True)
