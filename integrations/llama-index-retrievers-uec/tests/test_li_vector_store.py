"""The vector store under LlamaIndex's own index, pipeline, retrievers and query engines."""

import asyncio
import logging
import pickle

import pytest
from llama_index.core import Document, Settings, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import IndexNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index.retrievers.uec import UECRetriever
from llama_index.vector_stores.uec import StoreEmbedding, UECVectorStore

from tests.engine.small import sentences
from uec_retriever import Engine, Location
from uec_retriever.errors import InvalidInputError, UECError

TEXTS = list(dict.fromkeys(sentences(30, seed=3, words=14)))
QUERY = sentences(1, seed=9)[0]
MMR = VectorStoreQueryMode.MMR


def node(i, **options):
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc {i // 3}")}
    return TextNode(
        id_=f"node {i}",
        text=TEXTS[i],
        metadata={"n": i, "even": i % 2},
        relationships=relationships,
        **options,
    )


NODES = [node(i) for i in range(len(TEXTS))]
DOCUMENTS = [Document(id_=f"doc {i}", text=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]


@pytest.fixture
def store(engine):
    return UECVectorStore(engine=engine)


@pytest.fixture(scope="module")
def full(li_fitted, recipe, tmp_path_factory):
    """A store of `NODES`, for tests that only read."""
    engine = Engine.create(tmp_path_factory.mktemp("full") / "index", li_fitted[1], recipe)
    store = UECVectorStore(engine=engine)
    store.add(NODES)
    return store


def where(**conditions):
    return MetadataFilters(filters=[MetadataFilter(key=k, value=v) for k, v in conditions.items()])


def ask(store, text=QUERY, k=5, **fields):
    return store.query(VectorStoreQuery(query_str=text, similarity_top_k=k, **fields))


def test_it_is_a_vector_store_that_embeds_by_itself(store):
    assert isinstance(store, BasePydanticVectorStore)
    assert store.stores_text and not store.is_embedding_query
    assert store.class_name() == "UECVectorStore"
    assert store.client is store.engine.store.client


@pytest.mark.parametrize("embedding", [None, [0.0], [1.0, 2.0]])
def test_a_query_finds_what_the_retriever_finds(full, embedding):
    expected = UECRetriever(engine=full.engine, similarity_top_k=5).retrieve(QUERY)
    found = ask(full, query_embedding=embedding)
    assert found.nodes == [n.node for n in expected]
    assert found.similarities == [n.score for n in expected]
    assert found.ids == [n.node_id for n in expected]


def test_embeddings_of_nodes_are_passed_over(store, full):
    assert store.add([node(i, embedding=[0.5, 0.5]) for i in range(len(TEXTS))]) == [n.node_id for n in NODES]
    assert ask(store).similarities == ask(full).similarities


async def test_a_pipeline_fills_it(store, tmp_path):
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), store.embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
    )
    pipeline.run(documents=DOCUMENTS)
    assert store.engine.count() == len(TEXTS)
    changed = Document(id_="doc 0", text="hello world", metadata={"n": 0})
    await pipeline.arun(documents=[changed, *DOCUMENTS[1:]])  # the document store sees that it has changed
    assert store.engine.count() == len(TEXTS)
    assert [n.text for n in store.get_nodes(filters=where(n=0))] == ["hello world"]


@pytest.mark.filterwarnings(
    "ignore:Call to deprecated method get_doc_id:DeprecationWarning"
)  # LlamaIndex 0.13
@pytest.mark.parametrize("use_async", [False, True])
async def test_an_index_over_it(store, use_async):
    index = VectorStoreIndex.from_documents(
        DOCUMENTS[:20],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=store.embed_model,
    )
    for document in DOCUMENTS[20:]:
        index.insert(document)
    index.delete_ref_doc("doc 3")
    assert store.engine.count() == len(TEXTS) - 1
    again = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
    retriever = again.as_retriever(similarity_top_k=4)
    found = await retriever.aretrieve(TEXTS[5]) if use_async else retriever.retrieve(TEXTS[5])
    assert (found[0].node.ref_doc_id, len(found)) == ("doc 5", 4)
    engine = again.as_query_engine(llm=MockLLM(), similarity_top_k=2)
    response = await engine.aquery(TEXTS[5]) if use_async else engine.query(TEXTS[5])
    assert TEXTS[5] in str(response)  # the mock repeats its prompt
    assert len(response.source_nodes) == 2


def test_settings_take_its_embed_model(store, monkeypatch):
    monkeypatch.setattr(Settings, "_embed_model", store.embed_model)
    index = VectorStoreIndex.from_vector_store(store)
    index.insert_nodes(NODES[:3])
    assert store.engine.count() == 3


def test_an_index_node_comes_back(store):
    store.add([IndexNode(id_="index", text="hello world", index_id="other")])
    [found] = ask(store, "hello").nodes
    assert (type(found), found.index_id) == (IndexNode, "other")


def test_an_id_that_is_there_is_replaced(store):
    store.add([TextNode(id_="a", text="hello world", metadata={"old": 1})])
    store.add([TextNode(id_="a", text="foo bar", metadata={"new": 1})])
    [found] = store.get_nodes()
    assert (found.text, found.metadata) == ("foo bar", {"new": 1})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"doc_ids": ["doc 2", "doc 4"]}, {6, 7, 8, 12, 13, 14}),
        ({"node_ids": ["node 3", "node 29", "gone"]}, {3, 29}),
        ({"node_ids": [], "doc_ids": []}, set(range(30))),
        ({"node_ids": ["node 3", "node 7"], "doc_ids": ["doc 2"]}, {7}),
        ({"filters": where(even=1), "doc_ids": ["doc 2"]}, {7}),
        ({"filters": where(n=4), "node_ids": ["node 4", "node 5"]}, {4}),
        ({"filters": where(n=6), "node_ids": ["node 4", "node 5"]}, set()),
        (
            {
                "filters": MetadataFilters(
                    filters=[
                        where(n=4),
                        MetadataFilters(
                            filters=[
                                MetadataFilter(key="n", value=25, operator=">"),
                                MetadataFilter(key="n", value=[27, 29], operator="nin"),
                            ]
                        ),
                    ],
                    condition=FilterCondition.OR,
                )
            },
            {4, 26, 28},
        ),
    ],
)
@pytest.mark.parametrize("mode", [VectorStoreQueryMode.DEFAULT, MMR])
def test_filters_by_document_node_and_metadata(full, fields, expected, mode):
    assert {n.metadata["n"] for n in ask(full, k=50, mode=mode, **fields).nodes} == expected


def test_a_filter_by_nodes_finds_the_best_of_them(full):
    ranked = ask(full, k=30)
    worst = ranked.ids[-3:]
    found = ask(full, k=2, node_ids=worst)
    assert found.ids == worst[:2]
    assert found.similarities == pytest.approx(ranked.similarities[-3:-1], abs=1e-6)


def largest_cosine(store, ids):
    """Between any two of some nodes."""
    vectors = store.engine.vectors_by_id(ids)
    rows = [vectors[i] / (vectors[i] @ vectors[i]) ** 0.5 for i in ids]
    return max(float(a @ b) for n, a in enumerate(rows) for b in rows[:n])


def test_diversity(full):
    index = VectorStoreIndex.from_vector_store(full, embed_model=full.embed_model)

    def retrieve(threshold):
        made = index.as_retriever(
            similarity_top_k=6,
            vector_store_query_mode="mmr",
            vector_store_kwargs={"mmr_threshold": threshold},
        )
        return [n.node_id for n in made.retrieve(QUERY)]

    best = ask(full, k=6).ids
    assert retrieve(1.0) == best
    assert retrieve(0.1)[0] == best[0]
    assert largest_cosine(full, retrieve(0.1)) < largest_cosine(full, best)
    assert ask(full, k=6, mode=MMR).ids == retrieve(0.5) == ask(full, k=6, mode=MMR, mmr_threshold=0.5).ids
    query, diverse = (VectorStoreQuery(query_str=QUERY, similarity_top_k=6, mode=m) for m in ("default", MMR))
    of_six = full.query(query, candidates=6).ids
    assert set(full.query(diverse, mmr_threshold=0.0, candidates=6).ids) == set(of_six)


def test_an_embedding_alone(full):
    embedding = full.engine.embed_queries([QUERY])[0].tolist()
    assert full.query(VectorStoreQuery(query_embedding=embedding, similarity_top_k=3)).ids
    with pytest.raises(InvalidInputError, match="shape"):
        full.query(VectorStoreQuery(query_embedding=[1.0, 2.0], similarity_top_k=3))


@pytest.mark.parametrize(
    ("query", "options", "words"),
    [
        (
            {"mode": VectorStoreQueryMode.HYBRID},
            {},
            "'default', which searches with words too, or 'mmr', got 'hybrid'",
        ),
        ({"similarity_top_k": 0}, {}, "similarity_top_k"),
        ({"mode": MMR, "similarity_top_k": 0}, {}, "similarity_top_k"),
        ({"mode": MMR, "mmr_threshold": 2.0}, {}, "mmr_threshold"),
        ({"mode": MMR}, {"mmr_threshold": "high"}, "mmr_threshold"),
        ({"mode": MMR, "similarity_top_k": 3}, {"candidates": 2}, "candidates must be at least k = 3, got 2"),
        ({"similarity_top_k": 3}, {"candidates": 2}, "candidates must be at least k = 3, got 2"),
        ({}, {"alpha": 0.5}, "'alpha': it takes mmr_threshold, candidates, temperature"),
        ({"query_str": ""}, {}, "empty"),
    ],
)
def test_what_it_cannot_do_is_refused(full, query, options, words):
    with pytest.raises((UECError, TypeError), match=words):
        full.query(VectorStoreQuery(**{"query_str": QUERY, **query}), **options)


def test_reading_and_deleting(store):
    store.add(NODES)
    assert [n.node_id for n in store.get_nodes(["node 7", "gone", "node 2"])] == ["node 7", "node 2"]
    assert store.get_nodes(["node 7", "node 2"], where(n=2)) == [NODES[2]]
    store.delete("doc 2")
    assert store.get_nodes(["node 6", "node 7", "node 8"]) == []
    store.delete_nodes(["node 0", "node 1"], where(n=1))
    assert store.get_nodes(["node 0", "node 1"]) == [NODES[0]]
    store.delete_nodes(filters=where(even=0))
    assert {n.metadata["even"] for n in store.get_nodes()} == {1}
    store.delete_nodes([])
    assert store.engine.count() == 13
    nested = MetadataFilters(filters=[MetadataFilters(filters=[])])
    everything = MetadataFilters(filters=[MetadataFilter(key="n", value=[], operator=FilterOperator.NIN)])
    for filters in (None, MetadataFilters(filters=[]), nested, everything):
        with pytest.raises(InvalidInputError, match=r"delete all nodes with clear\(\)"):
            store.delete_nodes(filters=filters)
    assert store.engine.count() == 13
    store.delete_nodes([NODES[3].node_id], everything)
    assert store.engine.count() == 12
    store.clear()
    store.clear()
    assert store.get_nodes() == []
    assert store.add(NODES[:1]) == ["node 0"]


async def test_the_same_in_a_thread(store):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await store.async_add(NODES)
    query = VectorStoreQuery(query_str=QUERY, similarity_top_k=3)
    assert (await store.aquery(query)).ids == store.query(query).ids
    await store.adelete("doc 2")
    await store.adelete_nodes(["node 0"])
    assert len(await store.aget_nodes(filters=where(even=0))) == 12
    await store.aclear()
    ticking.cancel()
    assert store.engine.count() == 0
    assert ticks > 10


def test_it_is_made_opened_closed_and_pickled(tmp_path, experts, recipe, li_models):
    with UECVectorStore(tmp_path / "i", experts, recipe=recipe, device="cpu") as store:
        store.add(NODES[:5])
        again = pickle.loads(pickle.dumps(store))
        assert again.get_nodes() == store.get_nodes()
        again.close()
    with pytest.raises(UECError, match="closed"):
        store.get_nodes()
    with UECVectorStore.from_params(str(tmp_path / "i"), device="cpu") as opened:
        assert len(opened.get_nodes()) == 5
        restored = UECVectorStore.from_dict(opened.to_dict())
        assert restored.get_nodes() == opened.get_nodes()
        restored.close()
    with pytest.raises(InvalidInputError, match="there is no index in .* yet"):
        UECVectorStore(tmp_path / "other")
    with pytest.raises(InvalidInputError, match="which takes .*index.* .did you mean 'index'"):
        UECVectorStore(persist_dir="i")


def test_by_plain_values(server, experts, recipe, tmp_path):
    where = {"url": server, "headers": {"X-Key": "secret"}, "collection": "plain-values"}
    with UECVectorStore.from_params(tmp_path / "i", experts, recipe=recipe, **where) as store:
        store.add(NODES[:2])
        assert "secret" not in str(store) + str(store.to_dict())
    with UECVectorStore(Location(tmp_path / "i", **where), device="cpu") as store:
        assert store.engine.count() == 2


def test_what_is_in_a_temporary_folder_is_not_persisted(experts, recipe, caplog, store):
    with UECVectorStore(None, experts, recipe=recipe) as temporary, caplog.at_level(logging.WARNING):
        StorageContext.from_defaults(vector_store=temporary).vector_store.persist("somewhere")
    assert "temporary folder" in caplog.text
    caplog.clear()
    store.persist("somewhere")
    assert not caplog.records


async def test_the_embedding_that_leaves_it_to_the_store():
    model = StoreEmbedding()
    assert model.get_text_embedding_batch(["a", "b"]) == [[0.0], [0.0]]
    assert await model.aget_query_embedding("a") == model.get_query_embedding("a") == [0.0]
    assert pickle.loads(pickle.dumps(model)).model_name == model.model_name
