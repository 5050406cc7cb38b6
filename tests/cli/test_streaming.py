"""A corpus is sampled for calibration as a stream."""

import gzip
import tracemalloc

import pytest

from uec_retriever.cli.recipe import sample_documents
from uec_retriever.data.corpus import Corpus


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_corpus_need_not_fit_into_memory(tmp_path, pack):
    path = tmp_path / "c.jsonl"
    line = '{{"_id": "{}", "text": "' + "word " * 400 + 'ends. Then more."}}\n'
    path.write_bytes(pack("".join(map(line.format, range(10_000))).encode()))
    tracemalloc.start()
    total, _ = sample_documents(Corpus(path), 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 10_000 and peak < 4e6  # of 20 MB of text
