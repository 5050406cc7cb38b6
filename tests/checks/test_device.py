"""A torch device that is not there is refused in one sentence, wherever it is named."""

import pytest
import torch

from tests.engine.small import bert_model
from uec_retriever.checks.device import check_device
from uec_retriever.engine.engine import Engine
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.loading import load_cross_encoder
from uec_retriever.utility_labeler.local import LocalJudge

WRONG = {"gpu": "there is no device 'gpu': give cpu", "cuda:97": "no cuda:97 here", "meta": "no META here"}


@pytest.mark.parametrize("device", [None, "cpu"])
def test_what_is_always_there(device):
    check_device(device)


@pytest.mark.parametrize(("device", "told"), WRONG.items())
def test_others_are_refused_before_a_model_is_looked_for(device, told):
    for load in (Expert.load, load_cross_encoder, LocalJudge.load):
        with pytest.raises(InvalidInputError, match=told):
            load("nobody/no-such-model", device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_where_there_is_none():
    with pytest.raises(
        InvalidInputError, match=r"^no CUDA here, which .*: give the device cpu \(--device cpu\)$"
    ):
        check_device("cuda")


def test_an_index_says_so_too(tmp_path):
    """Not that its model is gone."""
    model = bert_model(tmp_path / "bert", tmp_path / "work")
    Engine.from_texts(["a wing"], [model], tmp_path / "idx", device="cpu").close()
    for device, told in WRONG.items():
        with pytest.raises(InvalidInputError, match=told):
            Engine.open(tmp_path / "idx", device=device)
