"""MTEB on the real models: the example, and our own collections beside scipy, ir-measures and the engine."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from devtools.models import MINILM, WORDLLAMA
from uec_retriever.data.stdlib_docs import docstring_pairs
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.recipe import Recipe
from uec_retriever.evaluation.collection import Query, load_collection
from uec_retriever.evaluation.metrics import rank_metrics
from uec_retriever.evaluation.mteb_adapter import UECModel
from uec_retriever.evaluation.mteb_tasks import collection_task, sts_task

mteb = pytest.importorskip("mteb")
pytestmark = pytest.mark.models


def evaluate(model, task):
    found = mteb.evaluate(model, task, cache=None, show_progress_bar=False)
    [[scores]] = found.task_results[0].scores.values()
    return scores


@pytest.mark.data
def test_metatool_equals_our_metrics_on_what_the_engine_finds(tmp_path, collections, minilm, wordllama):
    collection = load_collection(collections / "metatool", "test").sample(60, 0)
    with Engine.from_texts(
        list(collection.texts), [minilm, wordllama], tmp_path, ids=list(collection.ids), device="cpu"
    ) as engine:
        model = UECModel(engine.ensemble)
        found = engine.search_batch([q.text for q in collection.queries], 100, candidates=199)
    scores = evaluate(model, collection_task(collection))
    ranked = {q.id: [h.id for h in r] for q, r in zip(collection.queries, found, strict=True)}
    ours = rank_metrics([Query(q.id, q.text, q.relevance) for q in collection.queries], ranked)
    assert scores["ndcg_at_10"] == pytest.approx(ours["nDCG@10"].mean(), abs=1e-4)
    assert scores["ndcg_at_10"] > 0.5
    assert model.mteb_model_meta.name == f"uec-retriever/{MINILM}+{WORDLLAMA}"


@pytest.mark.data
def test_stsb_equals_spearman_of_our_embeddings(collections, minilm, wordllama):
    lines = (collections / "stsb_en" / "pairs.tsv").read_text(encoding="utf-8").splitlines()[:100]
    pairs = [(float(gold), a, b) for gold, a, b in (line.split("\t") for line in lines)]
    model = UECModel.from_experts([minilm, wordllama], recipe=Recipe(docstring_pairs(64)), device="cpu")
    scores = evaluate(model, sts_task("STSBenchmarkSample", pairs))
    left, right = (model.ensemble.encode_texts([p[i] for p in pairs]).gaussian.mean for i in (1, 2))
    expected = spearmanr(np.einsum("nd,nd->n", left, right), [p[0] for p in pairs]).statistic
    assert scores["main_score"] == pytest.approx(expected, abs=1e-4)
    assert scores["main_score"] > 0.7


def test_the_example(tmp_path, minilm, wordllama):
    from examples import mteb_evaluate

    scores = mteb_evaluate.main(tmp_path, 120)
    assert list(scores) == [MINILM, WORDLLAMA, "UEC", "UEC, without words", "UEC, by the mean"]
    tasks = {"DocumentationRetrieval", "ModuleClassification"}
    assert all(set(found) == tasks and min(found.values()) > 0.3 for found in scores.values())
    kept = {f.stem for f in tmp_path.glob("results/*/*/*.json")}
    assert kept == {*tasks, "model_meta"}
