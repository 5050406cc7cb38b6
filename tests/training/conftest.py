"""Tiny questions, labels and models for the training tests."""

import pytest

from devtools.tiny import tiny_model


@pytest.fixture
def student(tmp_path):
    model = tiny_model(tmp_path / "tiny")
    model.eval()  # no dropout: gradients are to be compared
    return model
