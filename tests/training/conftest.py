"""Tiny questions, labels and models for the training tests."""

import pytest
import torch

from devtools.tiny import tiny_model


@pytest.fixture(autouse=True)
def seed():
    """Of made-up labels and utilities."""
    torch.manual_seed(0)


@pytest.fixture
def student(tmp_path):
    model = tiny_model(tmp_path / "tiny")
    model.eval()  # no dropout: gradients are to be compared
    return model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_model(folder / "made", prompts={"query": "what ", "document": ""}).save(str(folder / "tiny"))
    return str(folder / "tiny")
