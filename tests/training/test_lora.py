"""LoRA: merged into a plain model, and refused where peft and transformers do not go together."""

import re
import sys
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from tests.training.killed import Killed, embeddings, killer
from tests.training.made_up import make_questions
from uec_retriever.errors import MissingExtraError
from uec_retriever.experts.expert import Expert
from uec_retriever.training import TrainingOptions, extras, train

FAST = TrainingOptions(epochs=2, learning_rate=1e-3, batch_size=8, evaluations=2)
TEXTS = ["a wing of the aircraft", "cat", "what is heat flow to the boundary layer"]


def test_lora_is_merged_into_a_plain_model(base, tmp_path):
    if problem := extras.lora_problem():
        pytest.skip(problem)
    options = TrainingOptions(epochs=2, learning_rate=1e-2, batch_size=8, lora_rank=2)
    with pytest.raises(Killed):
        train(base, make_questions(), tmp_path / "m", options, progress=killer(4))
    train(base, make_questions(), tmp_path / "m", options, resume=True)
    saved = load_file(tmp_path / "m" / "model.safetensors")
    original = load_file(f"{base}/model.safetensors")
    assert saved.keys() == original.keys()
    changed = {name for name in saved if not np.array_equal(saved[name], original[name])}
    assert changed
    assert all("weight" in name and "embeddings" not in name and "LayerNorm" not in name for name in changed)
    Expert.load(str(tmp_path / "m"), device="cpu")
    train(base, make_questions(), tmp_path / "whole", options)
    np.testing.assert_allclose(
        embeddings(tmp_path / "m"), embeddings(tmp_path / "whole"), rtol=1e-4, atol=1e-5
    )


def test_lora_is_refused_only_where_an_adapter_fails(base):
    """Whatever pair is installed: a refusal must not come from the small model that is tried."""
    model = SentenceTransformer(base, device="cpu")
    try:
        from peft import LoraConfig, inject_adapter_in_model

        inject_adapter_in_model(LoraConfig(r=2, target_modules="all-linear"), model[0].auto_model)
        model.encode(TEXTS)
        works = True
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError):
        works = False
    assert (extras.lora_problem() is None) == works


def test_a_peft_that_does_not_go_with_transformers_is_refused_before_work_begins(base, tmp_path, monkeypatch):
    """An old one imports what transformers has no more."""
    folder = tmp_path / "site"
    (folder / "peft-0.1.2.dist-info").mkdir(parents=True)
    (folder / "peft-0.1.2.dist-info" / "METADATA").write_text("Name: peft\nVersion: 0.1.2\n")
    (folder / "peft.py").write_text("from transformers import NoSuchModel\n")
    for name in [n for n in sys.modules if n.partition(".")[0] == "peft"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(folder)
    words = (
        f"peft 0.1.2 and transformers {version('transformers')} do not work together (cannot import name "
        f"'NoSuchModel' from 'transformers'"
    )
    with pytest.raises(MissingExtraError, match=re.escape(words)) as refused:
        train(base, make_questions(), tmp_path / "m", replace(FAST, lora_rank=2))
    assert (
        f'pip install --upgrade peft, or, if there is no newer one, "transformers<{version("transformers")}"'
        in str(refused.value)
    )
    assert not (tmp_path / "m").exists()
    train(base, make_questions(), tmp_path / "m", FAST)  # without adapters nothing is asked of peft
