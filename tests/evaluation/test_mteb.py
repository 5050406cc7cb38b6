"""`mteb.evaluate` run for real on a UEC ensemble, against naive loops, the engine and MTEB's own wrapper."""

import json
import sys

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from tests.engine.small import WORDS, bert_model, pairs, sentences, static_model
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError, MissingExtraError, ModelMismatchError
from uec_retriever.evaluation.collection import Query
from uec_retriever.evaluation.metrics import rank_metrics
from uec_retriever.evaluation.mteb_adapter import UECModel
from uec_retriever.evaluation.mteb_corpus import Corpus
from uec_retriever.evaluation.mteb_tasks import classification_task, retrieval_task, sts_task
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.lexical import LexicalExpert, LexicalShare, LexicalStatistics
from uec_retriever.similarity import moments, probit_score
from uec_retriever.store.lexical_options import LexicalOptions

mteb = pytest.importorskip("mteb")
CORPUS = {f"d{i}": text for i, text in enumerate(sentences(40, 1, 12))}
QUERIES = {f"q{i}": " ".join([*CORPUS[f"d{3 * i}"].split()[:3], WORDS[i]]) for i in range(12)}
RELEVANCE = {f"q{i}": {f"d{3 * i}": 2, f"d{3 * i + 1}": 1} for i in range(12)}
PAIRS = [
    (float(i % 6), a, b) for i, (a, b) in enumerate(zip(sentences(30, 2), sentences(30, 3), strict=True))
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [static_model(folder / "static", 0), bert_model(folder / "bert", folder / "workspace")]


@pytest.fixture(scope="module")
def index(models, tmp_path_factory):
    """An index of the corpus."""
    folder = tmp_path_factory.mktemp("index")
    recipe = Recipe(pairs(), temperature=0.5)
    Engine.from_texts(list(CORPUS.values()), models, folder, recipe, ids=list(CORPUS), device="cpu").close()
    return folder


@pytest.fixture(scope="module")
def model(index):
    return UECModel.open(index, device="cpu")


def tasks():
    labelled = [
        (" ".join(WORDS[(7 * i + 3 * j) % 16 + i % 2 * 14] for j in range(4)), i % 2) for i in range(40)
    ]
    return {
        "retrieval": retrieval_task("LocalRetrieval", CORPUS, QUERIES, RELEVANCE),
        "sts": sts_task("LocalSTS", PAIRS),
        "classification": classification_task(
            "LocalClassification", labelled[:28], labelled[28:], samples_per_label=100, experiments=1
        ),
    }


def evaluate(model, task, cache=None, **options):
    """Scores of the only split."""
    found = mteb.evaluate(model, task, cache=cache, show_progress_bar=False, **options)
    [[scores]] = found.task_results[0].scores.values()
    return scores


def gaussians(model, texts, role):
    return [e.encode(texts, role).gaussian for e in model.ensemble.experts]


def test_it_speaks_both_protocols(model):
    assert isinstance(model, mteb.EncoderProtocol)
    assert isinstance(model, mteb.SearchProtocol)
    assert not isinstance(model, mteb.CrossEncoderProtocol)


def test_retrieval_equals_our_metrics_on_what_the_engine_finds(model, index):
    scores = evaluate(model, tasks()["retrieval"])
    with Engine.open(index, device="cpu") as engine:
        results = engine.search_batch(list(QUERIES.values()), 40, candidates=40)
    ranked = {q: [hit.id for hit in r] for q, r in zip(QUERIES, results, strict=True)}
    ours = rank_metrics([Query(q, QUERIES[q], RELEVANCE[q]) for q in QUERIES], ranked)
    assert scores["ndcg_at_10"] == pytest.approx(ours["nDCG@10"].mean(), abs=1e-5)
    assert scores["map_at_1000"] == pytest.approx(ours["MAP"].mean(), abs=1e-5)
    assert scores["main_score"] == scores["ndcg_at_10"]


def test_scores_equal_those_of_the_moments(model):
    documents = model.ensemble.encode_documents(list(CORPUS.values())).gaussian
    queries = model.ensemble.encode_queries(list(QUERIES.values())).gaussian
    pages = [documents[:7], documents[7:]]
    found = Corpus(model.ensemble, list(CORPUS), pages).search(queries, 40)
    means, variances = moments(queries, documents)
    naive = probit_score(means.astype(np.float64), variances)
    for row, ranking in enumerate(found):
        np.testing.assert_allclose([ranking[i] for i in CORPUS], naive[row], atol=1e-4)
        assert list(ranking.values()) == sorted(ranking.values(), reverse=True)
    by_mean = Corpus(model.ensemble, list(CORPUS), pages, uncertainty=False).search(queries, 3)
    assert [list(r)[0] for r in by_mean] == [list(CORPUS)[i] for i in means.argmax(axis=1)]
    assert all(len(r) == 3 for r in by_mean)


def searched(model, queries=QUERIES, corpus=CORPUS, k=40):
    """What MTEB would get for queries of a corpus."""
    task = retrieval_task("LocalRetrieval", corpus, queries, {q: {"d0": 1} for q in queries})
    split = task.dataset["default"]["test"]
    place = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default", "encode_kwargs": {}}
    model.index(split["corpus"], **place)
    return model.search(split["queries"], top_k=k, **place)


@pytest.mark.parametrize(
    "options", [LexicalOptions(), LexicalOptions(None, share=0.3, temperature=2.0, zero=-1)]
)
def test_search_with_words_equals_the_engine(models, tmp_path, options):
    recipe = Recipe(pairs(), temperature=0.5, lexical=options)
    with Engine.from_texts(
        list(CORPUS.values()), models, tmp_path, recipe, ids=list(CORPUS), device="cpu"
    ) as engine:
        found = searched(UECModel(engine.ensemble))
        results = engine.search_batch(list(QUERIES.values()), 40, candidates=40)
    for ranking, result in zip(found.values(), results, strict=True):
        assert {h.id: pytest.approx(h.raw_score, abs=1e-5) for h in result} == ranking
    assert any(0 < r.coefficients["words"] < 1 for r in results)


def naive_words(options, query, corpus):
    """Share, means and variances of a query's words in a corpus, counted text by text."""
    expert, terms = LexicalExpert(options.k1, options.b), options.analyzer.terms
    texts, words = [terms(text) for text in corpus], list(dict.fromkeys(terms(query)))
    lengths = np.array([len(text) for text in texts])
    frequencies = np.array([sum(word in text for text in texts) for word in words])
    statistics = LexicalStatistics(len(texts), lengths.mean(), frequencies)
    gaussian = expert.encode_query(statistics)
    counts = np.array([[text.count(word) for word in words] for text in texts])
    mean, variance = moments(gaussian, expert.encode_documents(counts, lengths, statistics))
    share = LexicalShare(options.share, options.zero, options.temperature).of([gaussian])[0]
    return share, mean[0], variance[0]


@pytest.mark.parametrize("uncertainty", [True, False])
def test_words_are_joined_with_the_statistics_of_the_corpus_that_is_indexed(model, uncertainty):
    """The index that the ensemble is from holds other texts; what counts is the corpus."""
    corpus = {f"n{i}": text for i, text in enumerate(sentences(25, 77, 9))}
    corpus["n3"] = "boundary boundary layer of the unheard-of gizmo"
    queries = {"q": "the gizmo layer of a boundary gizmo", "plain": "layer", "stop": "of the and"}
    ours = UECModel(model.ensemble, uncertainty=uncertainty)
    found = searched(ours, queries, corpus)
    options = ours.ensemble.manifest.lexical
    dense_documents = ours.ensemble.encode_documents(list(corpus.values())).gaussian
    for name, query in queries.items():
        encoded = ours.ensemble.encode_queries([query]).gaussian
        mean, variance = (part[0].astype(np.float64) for part in moments(encoded, dense_documents))
        if name != "stop":
            share, own, spread = naive_words(options, query, corpus.values())
            mean = (1 - share) * mean + share * own
            variance = (1 - share) ** 2 * variance + share**2 * spread
        expected = probit_score(mean, variance if uncertainty else np.zeros_like(variance))
        np.testing.assert_allclose([found[name][i] for i in corpus], expected, atol=1e-4)
    assert list(found["q"])[0] == "n3"


def test_words_can_be_left_out_or_put_in(model, models):
    dense = UECModel(model.ensemble, lexical=False)
    assert dense.ensemble.manifest.lexical is None
    documents = model.ensemble.encode_documents(list(CORPUS.values())).gaussian
    queries = model.ensemble.encode_queries(list(QUERIES.values())).gaussian
    expected = Corpus(model.ensemble, list(CORPUS), [documents]).search(queries, 40)
    assert list(searched(dense).values()) == [
        {i: pytest.approx(s, abs=1e-6) for i, s in ranking.items()} for ranking in expected
    ]
    again = UECModel(dense.ensemble, lexical=True)
    assert again.ensemble.manifest == model.ensemble.manifest
    assert UECModel(model.ensemble, lexical=True).ensemble is model.ensemble
    other = UECModel(model.ensemble, lexical=LexicalOptions("german"))
    assert other.ensemble.manifest.lexical.language == "german"
    assert len({m.mteb_model_meta.revision for m in (model, dense, other)}) == 3
    with pytest.raises(InvalidInputError, match="LexicalOptions"):
        UECModel(model.ensemble, lexical="english")
    plain = UECModel.from_experts(models[:1], recipe=Recipe(pairs(), lexical=False), device="cpu")
    assert plain.ensemble.manifest.lexical is None
    assert evaluate(plain, tasks()["sts"])["main_score"] == pytest.approx(
        evaluate(UECModel(plain.ensemble, lexical=True), tasks()["sts"])["main_score"]
    )


def test_a_corpus_of_nothing_but_texts_without_words(model):
    found = searched(model, {"q": "cat dog", "blank": " "}, {"d0": " ", "d1": "of the"})
    assert {q: set(ranking) for q, ranking in found.items()} == {"q": {"d0", "d1"}, "blank": {"d0", "d1"}}
    assert found["q"]["d0"] == 0


def test_sts_equals_spearman_of_the_weighted_cosines(model):
    scores = evaluate(model, tasks()["sts"])
    sides = []
    for side in (1, 2):
        texts = [pair[side] for pair in PAIRS]
        sides.append((gaussians(model, texts, "text"), model.ensemble.encode_texts(texts).coefficients))
    (left, trust_left), (right, trust_right) = sides
    cosines = [(a.mean * b.mean).sum(axis=1) for a, b in zip(left, right, strict=True)]
    naive = (np.sqrt(trust_left * trust_right) * np.stack(cosines, axis=1)).sum(axis=1)
    expected = spearmanr(naive, [gold for gold, _, _ in PAIRS]).statistic
    assert scores["spearman"] == pytest.approx(expected, abs=1e-5)
    assert scores["cosine_spearman"] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(trust_left, axis=0).max() > 0.01  # the coefficients do differ between texts


def test_classification_equals_a_probe_on_the_embeddings(model):
    task = tasks()["classification"]
    scores = evaluate(model, task)
    train, test = task.dataset["train"], task.dataset["test"]
    probe = LogisticRegression(max_iter=100)
    probe.fit(model.ensemble.encode_texts(list(train["text"])).gaussian.mean, train["label"])
    predicted = probe.predict(model.ensemble.encode_texts(list(test["text"])).gaussian.mean)
    assert scores["accuracy"] == pytest.approx(np.mean(predicted == np.array(test["label"])))


@pytest.mark.parametrize("kind", ["retrieval", "sts", "classification"])
def test_one_expert_without_words_and_uncertainty_is_the_plain_model(models, kind):
    for path in models:
        recipe = Recipe(pairs(), lexical=False)
        ours = UECModel.from_experts([path], recipe=recipe, uncertainty=False, device="cpu")
        plain = mteb.SentenceTransformerEncoderWrapper(path, device="cpu")
        found, expected = evaluate(ours, tasks()[kind]), evaluate(plain, tasks()[kind])
        assert found["main_score"] == pytest.approx(expected["main_score"], abs=1e-5)


def test_prompts_are_those_mteb_would_choose(models, tmp_path):
    expert = Expert.load(models[1], device="cpu")
    expert.model.prompts = {"query": "what is ", "document": "", "STS": "hello ", "SciFact": "cat "}
    expert.model.save(str(tmp_path / "prompted"))
    ours = UECModel.from_experts(
        [tmp_path / "prompted"], recipe=Recipe(pairs(), lexical=False), uncertainty=False, device="cpu"
    )
    assert ours.mteb_model_meta.use_instructions
    texts = list(QUERIES.values())

    def embedded(task, prompt_type):
        options = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default"}
        return ours.encode([{"text": texts}], prompt_type=prompt_type, **options)

    def expected(prompt):
        return expert.model.encode([prompt + t for t in texts], prompt="", normalize_embeddings=True)

    query, document = mteb.types.PromptType.query, mteb.types.PromptType.document
    of = tasks()
    named = retrieval_task("SciFact", CORPUS, QUERIES, RELEVANCE)
    for task, prompt_type, prompt in (
        (of["retrieval"], query, "what is "),
        (of["retrieval"], document, ""),
        (named, query, "cat "),
        (named, document, "cat "),
        (of["sts"], None, "hello "),
        (of["sts"], query, "hello "),
        (of["classification"], None, ""),
    ):
        np.testing.assert_allclose(embedded(task, prompt_type), expected(prompt), atol=1e-5)
    plain = mteb.SentenceTransformerEncoderWrapper(str(tmp_path / "prompted"), device="cpu")
    for task in (of["retrieval"], named, of["sts"]):
        found, wanted = evaluate(ours, task), evaluate(plain, task)
        assert found["main_score"] == pytest.approx(wanted["main_score"], abs=1e-5)


def test_reranking_ranks_only_the_candidates(model):
    candidates = {q: list(grades) + ["d39"] for q, grades in RELEVANCE.items()}
    task = retrieval_task("LocalReranking", CORPUS, QUERIES, RELEVANCE, candidates=candidates)
    assert evaluate(model, task)["recall_at_5"] == 1
    split = task.dataset["default"]["test"]
    place = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default"}
    options = {**place, "encode_kwargs": {}}
    found = model.search(split["queries"], top_k=2, top_ranked=split["top_ranked"], **options)
    everything = model.search(split["queries"], top_k=40, **options)
    for query, ranking in found.items():
        best = [i for i in everything[query] if i in candidates[query]][:2]
        assert ranking == {i: pytest.approx(everything[query][i]) for i in best}
    with pytest.raises(InvalidInputError, match="no document 'lost'"):
        model.search(split["queries"], top_k=2, top_ranked={"q0": ["lost"]}, **options)


def test_texts_without_content_are_found_by_nothing(model):
    corpus = {**CORPUS, "empty": " ", "odd": "cat\0 dog \ud800"}
    queries = {**QUERIES, "blank": ""}
    relevance = {**RELEVANCE, "blank": {"d0": 1}}
    scores = evaluate(model, retrieval_task("Odd", {**corpus, "odd": "cat\0 dog"}, queries, relevance))
    assert 0 < scores["ndcg_at_10"] < 1
    options = {"task_metadata": tasks()["sts"].metadata, "hf_split": "test", "hf_subset": "default"}
    vectors = model.encode([{"text": list(corpus.values())}], **options)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1.0] * 40 + [0, 1], atol=1e-5)
    assert model.encode([], **options).shape == (0, vectors.shape[1])
    with pytest.raises(InvalidInputError, match="leave precision='int8' out"):
        model.encode([{"text": ["cat"]}], precision="int8", **options)


def test_sum_layout(models, tmp_path):
    other = static_model(tmp_path / "other", 1)
    ours = UECModel.from_experts(
        [models[0], other], recipe=Recipe(pairs(), layout="sum", temperature=0.5), device="cpu"
    )
    assert 0 < evaluate(ours, tasks()["retrieval"])["ndcg_at_10"] < 1
    assert -1 < evaluate(ours, tasks()["sts"])["main_score"] < 1
    assert ours.mteb_model_meta.embed_dim == ours.ensemble.experts[0].dimension
    with pytest.raises(InvalidInputError, match="sum layout fixes"):
        UECModel(ours.ensemble, temperature=1)


def test_metadata_say_what_is_known(model, index):
    meta = model.mteb_model_meta
    experts = model.ensemble.experts
    assert meta.name == "uec-retriever/static+bert"
    assert meta.n_parameters == sum(p.numel() for e in experts for p in e.model.parameters())
    assert meta.memory_usage_mb == pytest.approx(meta.n_parameters * 4 / 2**20, abs=1e-3)
    assert (meta.embed_dim, meta.max_tokens) == (sum(e.dimension for e in experts), 48)
    assert (meta.similarity_fn_name, meta.use_instructions) == ("dot", False)
    assert meta.license is meta.open_weights is meta.training_datasets is meta.release_date is None
    assert UECModel(model.ensemble, name="me/mine").mteb_model_meta.name == "me/mine"
    with pytest.raises(InvalidInputError, match="organisation/model"):
        UECModel(model.ensemble, name="mine")
    variants = [model, UECModel(model.ensemble, uncertainty=False), UECModel(model.ensemble, temperature=5.0)]
    assert len({m.mteb_model_meta.revision for m in variants}) == 3
    assert UECModel(model.ensemble).mteb_model_meta.revision == meta.revision
    json.dumps(meta.to_dict())


def test_mteb_loads_the_model_again_from_its_metadata(index):
    model = UECModel.open(index, device="cpu", temperature=2.0, lexical=False)
    again = model.mteb_model_meta.load_model(device="cpu")
    assert again.ensemble.manifest.lexical is None
    assert again.mteb_model_meta.revision == model.mteb_model_meta.revision
    assert again.ensemble.manifest.temperature == 2.0
    assert evaluate(model.mteb_model_meta, tasks()["sts"]) == evaluate(model, tasks()["sts"])
    with pytest.raises(ModelMismatchError, match="another one by now"):
        model.mteb_model_meta.model_copy(update={"revision": "0" * 40}).load_model()
    with Engine.open(index, device="cpu") as engine:
        experts = {e.label: e for e in engine.experts}
    assert UECModel.open(index, experts=experts).mteb_model_meta.loader is None
    assert UECModel.open(Location(index), device="cpu").mteb_model_meta.loader is None  # may hold secrets


def test_results_are_kept_under_name_and_revision(model, tmp_path, monkeypatch):
    cache = mteb.ResultCache(tmp_path)
    first = evaluate(model, tasks()["sts"], cache)
    folder = tmp_path / "results" / "uec-retriever__static+bert" / model.mteb_model_meta.revision
    assert {f.name for f in folder.iterdir()} >= {"LocalSTS.json", "model_meta.json"}
    monkeypatch.setattr(UECModel, "encode", None)
    again = evaluate(model, tasks()["sts"], cache)
    assert again["main_score"] == pytest.approx(first["main_score"], abs=1e-5)
    [loaded] = cache.load_results(models=[model.mteb_model_meta]).model_results
    assert loaded.model_revision == model.mteb_model_meta.revision


@pytest.mark.filterwarnings("ignore")  # of MTEB's own tasks
def test_every_kind_of_text_task_of_mteb_runs(model):
    found = mteb.mock_run(model)
    failures = {n: s.exception for n, s in found.items() if isinstance(s, mteb.results.task_result.TaskError)}
    assert found.all_passed, failures
    assert sum(status is not None for _, status in found.items()) > 15


def test_without_mteb_the_error_says_how_to_install_it(model, index, monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", None)
    for make in (
        lambda: UECModel(model.ensemble),
        lambda: UECModel.open(index),
        lambda: UECModel.from_experts([]),
        lambda: sts_task("x", PAIRS),
    ):
        with pytest.raises(MissingExtraError, match=r'pip install "uec-retriever\[mteb\]"'):
            make()


def test_search_needs_a_corpus_and_each_document_an_id_of_its_own(model):
    task = tasks()["retrieval"]
    options = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default"}
    queries = task.dataset["default"]["test"]["queries"]
    with pytest.raises(InvalidInputError, match="call index first"):
        UECModel(model.ensemble).search(queries, top_k=1, encode_kwargs={}, **options)
    documents = model.ensemble.encode_documents(["cat dog", "bird"]).gaussian
    for ids in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(InvalidInputError, match="an id of its own"):
            Corpus(model.ensemble, ids, [documents])
    with pytest.raises(InvalidInputError, match="all of one class"):
        classification_task("x", [("a", 1), ("b", 1)], [("c", 1)])
