"""A real model as an ONNX file, whole and in int8."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tests.experts.test_onnx import embed
from uec_retriever.experts import onnx_export
from uec_retriever.experts.onnx import OnnxEmbedding
from uec_retriever.experts.onnx_export import export_onnx

pytest.importorskip("onnxscript", reason='needs the extra onnx: pip install "uec-retriever[onnx]"')


@pytest.fixture(scope="module")
def minilm_folder(minilm, tmp_path_factory):
    made = tmp_path_factory.mktemp("onnx") / "minilm"
    export_onnx(SentenceTransformer(minilm, device="cpu"), made)
    return made


@pytest.mark.models
def test_a_real_model_and_its_int8_file(minilm, minilm_folder):
    texts = [
        "Wings at supersonic speed",
        "naïve façade — 42 tests; don't_stop!",
        "heat " * 300,
        "Wie wird der Fehler behoben?",
    ]
    model = SentenceTransformer(minilm, device="cpu")
    whole = OnnxEmbedding(str(minilm_folder))
    np.testing.assert_allclose(embed(whole, texts), model.encode(texts), atol=1e-4)
    assert whole.truncated(texts, "document") == [False, False, True, False]
    onnx_export._quantise(whole._folder.model, minilm_folder / "onnx" / "model_int8.onnx")
    small = OnnxEmbedding(str(minilm_folder), file_name="onnx/model_int8.onnx")
    assert small._folder.model.stat().st_size < 0.4 * whole._folder.model.stat().st_size
    assert (embed(small, texts) * embed(whole, texts)).sum(1).min() > 0.98
    assert small.fingerprint != whole.fingerprint
    # activations are quantised by their range in a batch, so texts go one by one
    assert small._alone and not whole._alone
    np.testing.assert_array_equal(embed(small, texts)[:1], embed(small, texts[:1]))
