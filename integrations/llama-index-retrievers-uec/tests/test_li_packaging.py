"""The distribution: a namespace package, typed."""

from pathlib import Path

import llama_index.core
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.embeddings.uae import UAEEmbedding
from llama_index.postprocessor.uec import UECRescorer
from llama_index.retrievers import uec

ROOT = Path(__file__).resolve().parents[1] / "llama_index"


def test_namespace_folders_are_no_packages_of_ours():
    for folder in (
        ROOT,
        ROOT / "retrievers",
        ROOT / "embeddings",
        ROOT / "postprocessor",
        ROOT / "vector_stores",
    ):
        assert folder.is_dir()
        assert not (folder / "__init__.py").exists()


@pytest.mark.parametrize(
    "folder", ["retrievers/uec", "embeddings/uae", "postprocessor/uec", "vector_stores/uec"]
)
def test_packages_are_typed(folder):
    assert (ROOT / folder / "__init__.py").is_file()
    assert (ROOT / folder / "py.typed").is_file()


def test_it_merges_with_llama_index_core():
    assert not Path(llama_index.core.__file__).is_relative_to(ROOT)
    assert Path(uec.__file__).parents[1].name == "retrievers"


def test_classes():
    assert BaseEmbedding in UAEEmbedding.__mro__
    assert BaseNodePostprocessor in UECRescorer.__mro__
    assert (UAEEmbedding.class_name(), UECRescorer.class_name()) == ("UAEEmbedding", "UECRescorer")
