"""What the package offers, and what importing it costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import langchain_uec

HEAVY = ("torch", "transformers", "sentence_transformers", "chromadb", "uec_retriever.engine.engine")


def heavy_imports(code):
    """Heavy modules that a fresh Python has after running the code."""
    path = [str(Path(langchain_uec.__file__).parent.parent), *sys.path]
    program = (
        f"import sys; sys.path[:0] = {path!r}; {code}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()


def test_public_names():
    assert set(langchain_uec.__all__) == {
        "METADATA_KEYS",
        "NO_EVIDENCE_ID",
        "UAEEmbedding",
        "UECRescorer",
        "UECRetriever",
        "UECVectorStore",
        "__version__",
    }
    assert all(hasattr(langchain_uec, name) for name in langchain_uec.__all__)


def test_importing_loads_no_model_library():
    assert heavy_imports("import langchain_uec") == []


def test_the_test_above_can_fail():
    assert "chromadb" in heavy_imports("import langchain_uec, chromadb")


@pytest.mark.parametrize("name", ["UECRetriever", "UAEEmbedding"])
def test_the_core_says_where_the_classes_are(name):
    import uec_retriever

    with pytest.raises(ImportError, match=r"pip install langchain-uec"):
        getattr(uec_retriever, name)


def test_package_is_typed():
    assert (Path(langchain_uec.__file__).parent / "py.typed").is_file()
