"""Options that cannot be used: our errors, before anything is made; and which engine is meant."""

import pytest
from langchain_small import documents, pairs

from langchain_uec import UECRescorer, UECRetriever, UECVectorStore
from uec_retriever import Engine, Location, Recipe
from uec_retriever.errors import InvalidInputError

QUERY = "what flow has the large wing"
BAD = [
    ({"include": ["foo"]}, r"include can hold .*'foo'"),
    ({"include": [["score"]]}, "include can hold"),
    ({"include": None}, "include is a list"),
    ({"include": "score"}, "include is a list"),
    ({"score_threshold": "3"}, r"lowest score must be a number in \[0, 1\]"),
    ({"score_threshold": float("nan")}, "lowest score must be a number"),
    ({"score_threshold": True}, "lowest score must be a number"),
    ({"k": "4"}, "k must be a whole number"),
    ({"k": None}, "k must be a whole number of at least 1"),
    ({"fetch_k": 1}, "candidates must be at least"),
    ({"temperature": "x"}, "temperature"),
    ({"min_confidence": 1.5}, r"min_confidence must be a number in \[0, 1\]"),
    ({"min_confidence": "high"}, "min_confidence must be a number"),
    ({"abstain": "silently"}, "abstain is one of flag, empty, raise"),
    ({"no_evidence": " "}, "no_evidence is a sentence"),
    ({"min_confidence": 0.5, "no_evidence": "Nothing."}, "give abstain='empty' too"),
    ({"filter": "even"}, "UECRetriever cannot be made: filter: input should be a valid dictionary"),
    ({"tags": 3}, "tags: input should be a valid list"),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=lambda value: str(value)[:30])
def test_a_retriever_refuses_what_it_cannot_use(engine, models, tmp_path, options, says):
    with pytest.raises(InvalidInputError, match=says):
        UECRetriever(engine=engine, **options)
    with pytest.raises(InvalidInputError, match=says):
        UECRetriever.from_texts(["the wing"], models, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"include": ["confidence"]}, "include can hold"),
        ({"score_threshold": "3"}, "lowest score"),
        ({"top_n": 0}, "top_n must be at least 1"),
        ({"top_n": 2.5}, "top_n must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": None}, "batch_size must be"),
    ],
)
def test_a_rescorer_refuses_before_it_fits(engine, models, tmp_path, options, says):
    with pytest.raises(InvalidInputError, match=says):
        UECRescorer(engine=engine, **options)
    with pytest.raises(InvalidInputError, match=says):
        UECRescorer.from_experts(models, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


async def test_options_of_one_call(engine):
    store, retriever = UECVectorStore(engine=engine), UECRetriever(engine=engine)
    embedding = store.embeddings.embed_query(QUERY)
    for call in (
        lambda: retriever.invoke(QUERY, score_threshold="3"),
        lambda: store.similarity_search(QUERY, score_threshold="3"),
        lambda: store.similarity_search_with_relevance_scores(QUERY, score_threshold="3"),
        lambda: store.as_retriever(search_kwargs={"score_threshold": "3"}),
        lambda: store.as_retriever(search_kwargs={"k": 0}),
        lambda: store.as_retriever(search_type="mmr", search_kwargs={"lambda_mult": 2}),
        lambda: store.similarity_search_by_vector("abc"),
        lambda: store.similarity_search_by_vector(None),
        lambda: store.similarity_search_by_vector([[1.0], [2.0, 3.0]]),
        lambda: store.max_marginal_relevance_search_by_vector("abc"),
        *(
            lambda options=options: store.max_marginal_relevance_search(QUERY, **options)
            for name in ("k", "fetch_k", "candidates", "lambda_mult")
            for options in ({name: "1"}, {name: -1}, {name: float("nan")})
        ),
        lambda: store.max_marginal_relevance_search(QUERY, k=None),
        lambda: store.max_marginal_relevance_search(QUERY, lambda_mult=None),
        lambda: store.max_marginal_relevance_search_by_vector(embedding, lambda_mult=1.01),
    ):
        with pytest.raises(InvalidInputError):
            call()
    with pytest.raises(InvalidInputError, match="lowest score"):
        await store.asimilarity_search_with_relevance_scores(QUERY, score_threshold="3")


def test_diversity_leaves_out_what_was_deleted_meanwhile(models, tmp_path, monkeypatch):
    texts = [d.page_content for d in documents(12)]
    store = UECVectorStore.from_texts(texts, models, index=tmp_path / "i", recipe=Recipe(pairs()))
    ranked = store.similarity_search(QUERY, k=4)
    search = Engine.search_batch

    def and_then_deleted(self, *args, **options):
        found = search(self, *args, **options)
        self.delete([ranked[1].id])
        return found

    monkeypatch.setattr(Engine, "search_batch", and_then_deleted)
    found = store.max_marginal_relevance_search(QUERY, k=3, fetch_k=4, lambda_mult=1.0)
    assert [d.id for d in found] == [ranked[i].id for i in (0, 2, 3)]


def test_an_engine_of_another_index_is_not_replaced_in_silence(index, models, tmp_path):
    first = UECRetriever(index=index, device="cpu")
    UECRetriever.from_texts(["the only wing"], models, tmp_path / "other", Recipe(pairs()), device="cpu")
    for options in ({"index": tmp_path / "other"}, {"index": Location(index), "device": None}):
        with pytest.raises(InvalidInputError, match="engine is of another index"):
            UECRetriever(engine=first.engine, **options)
    assert UECRetriever(engine=first.engine, index=index, device="cpu").engine is first.engine
