"""UECVectorStore beyond LangChain's own suite: scores, vectors, diversity, LangChain's indexing."""

import hashlib
import logging

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_small import documents, pairs, sentences, shown

from langchain_uec import UAEEmbedding, UECVectorStore
from uec_retriever import Expert, Recipe, fit_posterior
from uec_retriever.errors import IdConflictError, InvalidInputError, ModelMismatchError
from uec_retriever.laplace.files import save_posterior

QUERY = "what flow has the large wing"


@pytest.fixture
def store(engine):
    return UECVectorStore(engine=engine)


async def test_scores_are_the_engines_and_higher_is_better(store, engine):
    found = store.similarity_search_with_score(QUERY, k=6)
    assert [(d.id, s) for d, s in found] == [(h.id, h.score) for h in engine.search(QUERY, 6)]
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert store.similarity_search_with_relevance_scores(QUERY, k=6) == found
    assert await store.asimilarity_search_with_score(QUERY, k=6) == found
    assert await store.asimilarity_search_with_relevance_scores(QUERY, k=6) == found


def test_score_threshold(store):
    found = store.similarity_search_with_score(QUERY, k=6)
    threshold = found[2][1]
    assert store.similarity_search_with_relevance_scores(QUERY, k=6, score_threshold=threshold) == found[:3]
    assert store.similarity_search_with_score(QUERY, k=6, score_threshold=threshold) == found[:3]
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"k": 6, "score_threshold": threshold}
    )
    assert retriever.invoke(QUERY) == [d for d, _ in found[:3]]


def test_filter_and_options(store):
    found = store.similarity_search(QUERY, 10, filter={"even": True})
    assert [d.metadata["even"] for d in found] == [True] * 10
    assert store.as_retriever(search_kwargs={"k": 3, "filter": {"n": 5}}).invoke(QUERY)[0].id == "d5"
    assert len(store.similarity_search(QUERY, k=2, candidates=60, temperature=0.1)) == 2
    with pytest.raises(InvalidInputError, match="k must be"):
        store.similarity_search(QUERY, k=0)
    with pytest.raises(TypeError, match="where_document"):
        store.similarity_search(QUERY, where_document={"$contains": "x"})
    with pytest.raises(TypeError, match="filters"):
        store.max_marginal_relevance_search(QUERY, filters={})


async def test_searching_by_vector(store, engine):
    embedding = store.embeddings.embed_query(QUERY)
    assert len(embedding) == engine.manifest.dimension == len(store.embeddings.embed_documents(["wing"])[0])
    expected = [(h.id, h.text) for h in engine.search_embedding(embedding, 5)]
    assert shown(store.similarity_search_by_vector(embedding, k=5)) == expected
    assert shown(await store.asimilarity_search_by_vector(embedding, k=5)) == expected
    with pytest.raises(InvalidInputError, match="needs"):
        store.similarity_search_by_vector([0.5, 0.5])
    assert store.embeddings.embed_documents([]) == []


def test_document_embeddings_are_what_is_stored(store, engine):
    first = documents()[0]
    stored = [engine.vectors_by_id([first.id])[first.id]]
    np.testing.assert_allclose(store.embeddings.embed_documents([first.page_content]), stored, atol=1e-6)


async def test_diversity(models):
    texts = ["the large wing", "the large wing wing", "wing the large", "flow heat pressure", "cat dog bird"]
    store = UECVectorStore.from_texts(texts, models, recipe=Recipe(pairs()))
    plain = store.similarity_search("the large wing", k=3)
    assert {d.page_content for d in plain} == set(texts[:3])
    diverse = store.max_marginal_relevance_search("the large wing", k=3, lambda_mult=0.1)
    assert diverse[0].page_content == plain[0].page_content
    assert {d.page_content for d in diverse} & set(texts[3:])
    assert await store.amax_marginal_relevance_search("the large wing", k=3, lambda_mult=0.1) == diverse
    assert store.max_marginal_relevance_search("the large wing", k=3, lambda_mult=1.0)[0] == plain[0]
    assert len(store.max_marginal_relevance_search("wing", k=5, fetch_k=5)) == 5
    assert store.as_retriever(search_type="mmr", search_kwargs={"k": 2}).invoke("wing")
    with pytest.raises(InvalidInputError, match="k must be"):
        store.max_marginal_relevance_search("wing", k=0)


def test_diversity_in_an_empty_store(models):
    assert (
        UECVectorStore(embedding=models, recipe=Recipe(pairs())).max_marginal_relevance_search("wing") == []
    )


def test_adding_again_replaces(models):
    store = UECVectorStore.from_documents(
        [Document(page_content="cat", id="a", metadata={"old": 1}), Document(page_content="dog")],
        models,
        recipe=Recipe(pairs()),
    )
    assert store.add_texts(["cat cat"], [{"new": 2}], ids=["a"]) == ["a"]
    assert store.get_by_ids(["a"]) == [Document(page_content="cat cat", id="a", metadata={"new": 2})]
    named = store.add_texts(["bird", "bird", "red"], ids=[None, None, "r"])
    assert named[0] == named[1] != "r"
    assert store.engine.count() == 4
    with pytest.raises(IdConflictError):
        store.add_texts(["one", "two"], ids=["x", "x"])
    with pytest.raises(TypeError, match="batchsize"):
        store.add_texts(["one"], batchsize=3)
    with pytest.raises(TypeError, match=r"from_texts\(\).*'pairs'"):
        UECVectorStore.from_texts(["one"], models, pairs=pairs())
    assert store.delete(filter={"new": 2})
    assert store.get_by_ids(["a"]) == []
    with pytest.raises(InvalidInputError, match="ids or a filter"):
        store.delete()


def test_langchains_indexing(models):
    store = UECVectorStore(embedding=models, recipe=Recipe(pairs()))
    manager = InMemoryRecordManager("uec")
    manager.create_schema()
    given = [
        Document(page_content=text, metadata={"source": f"s{i % 7}"}) for i, text in enumerate(sentences(20))
    ]
    options = {"source_id_key": "source", "key_encoder": "sha256"}
    first = index(given, manager, store, cleanup="incremental", **options)
    assert first == {"num_added": 20, "num_updated": 0, "num_skipped": 0, "num_deleted": 0}
    assert index(given, manager, store, cleanup="incremental", **options)["num_skipped"] == 20
    changed = [Document(page_content="new wing", metadata={"source": "s0"}), *given[1:]]
    report = index(changed, manager, store, cleanup="full", **options)
    assert (report["num_added"], report["num_deleted"]) == (1, 1)
    assert store.engine.count() == 20


def test_the_index_is_opened_again(models, tmp_path):
    UECVectorStore(tmp_path / "index", models, recipe=Recipe(pairs())).add_texts(["the wing"])
    assert UECVectorStore(tmp_path / "index").similarity_search("wing")[0].page_content == "the wing"
    assert UECVectorStore(tmp_path / "index", models).engine.count() == 1
    with pytest.raises(ModelMismatchError, match="leave the experts out"):
        UECVectorStore(tmp_path / "index", models[::-1])


def test_without_texts_and_pairs_it_is_calibrated_on_general_ones(models, caplog):
    with caplog.at_level(logging.WARNING):
        store = UECVectorStore(embedding=models[0])
    assert "Python standard library" in caplog.text
    assert store.similarity_search("wing") == []


def test_experts_of_many_kinds(models, posterior):
    uae = UAEEmbedding(model_name=models[0], posterior=posterior, device="cpu")
    recipe = Recipe(pairs(), structure="diag")
    store = UECVectorStore.from_texts(
        ["the wing"], [uae, Expert.load(models[1], device="cpu")], recipe=recipe
    )
    made_of = store.engine.manifest.experts
    assert [(e.label, e.structure) for e in made_of] == [("first", "kron"), ("second", "diag")]
    other = UECVectorStore.from_texts(["the wing"], store.embeddings, recipe=Recipe(pairs()))
    assert [e.fingerprint for e in other.engine.manifest.experts] == [e.fingerprint for e in made_of]
    assert repr(other) == "UECVectorStore(experts=['first', 'second'])"


@pytest.mark.parametrize("labelled", [True, False])
def test_posteriors_of_embeddings_join_those_of_the_recipe(models, posterior, tmp_path, labelled):
    fit = fit_posterior(Expert.load(models[1], device="cpu"), pairs(), structure="diag")
    save_posterior(tmp_path / "second", fit.expert.posterior, fit.header)
    own = {"second": tmp_path / "second"} if labelled else [tmp_path / "second"]
    uae = UAEEmbedding(model_name=models[0], posterior=posterior, device="cpu")
    store = UECVectorStore(embedding=[uae, models[1]], recipe=Recipe(pairs(), own))
    found = [(e.structure, e.posterior) for e in store.engine.manifest.experts]
    files = (posterior, tmp_path / "second")
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert found == [("kron", digests[0]), ("diag", digests[1])]


def test_embeddings_that_cannot_be_experts(models, tmp_path, engine):
    with pytest.raises(InvalidInputError, match="17 cannot be an expert"):
        UECVectorStore(embedding=[17])
    prompted = UAEEmbedding(model_name=models[0], device="cpu", encode_kwargs={"prompt": "query: "})
    with pytest.raises(InvalidInputError, match=r"encode_kwargs \['prompt'\]"):
        UECVectorStore(embedding=prompted)
    with pytest.raises(InvalidInputError, match="leave out embedding"):
        UECVectorStore(embedding=models, engine=engine)
    with pytest.raises(InvalidInputError, match="one of them"):
        UECVectorStore(tmp_path, engine=engine)
    with pytest.raises(InvalidInputError, match="experts="):
        UECVectorStore(tmp_path)
