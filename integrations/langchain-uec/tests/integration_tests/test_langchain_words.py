"""Words as an expert: on by default, told on request, highlighted for citations, left out where that is asked."""

import itertools

import pytest
from langchain_core.documents import Document
from langchain_small import documents, pairs, sentences, shown

from langchain_uec import UECRescorer, UECRetriever, UECVectorStore
from uec_retriever import Engine, LexicalOptions, Recipe
from uec_retriever.errors import InvalidInputError

QUERY = "which zyzzyva flows"
RARE = "Zyzzyvas: the small bird's flow, and a ZYZZYVA"  # no model here knows the word
STOP_WORDS = "the of to in"


@pytest.fixture(scope="module")
def filled(models, tmp_path_factory):
    """An index of many texts, of which one has a rare word; nobody may change it."""
    given = [*documents(60), Document(id="rare", page_content=RARE, metadata={"n": 99, "even": False})]
    folder = tmp_path_factory.mktemp("words") / "index"
    UECRetriever.from_documents(given, models, folder, Recipe(pairs()), device="cpu").close()
    return folder


@pytest.fixture(scope="module")
def retriever(filled):
    with UECRetriever(
        index=filled, device="cpu", include=["coefficients", "expert_scores", "matched"]
    ) as opened:
        yield opened


async def test_words_find_what_no_model_knows(retriever):
    found = retriever.invoke(QUERY, k=1, fetch_k=1)
    assert [d.id for d in found] == ["rare"]
    assert await retriever.ainvoke(QUERY, k=1, fetch_k=1) == found
    assert await retriever.abatch([QUERY]) == [retriever.invoke(QUERY)]
    trust = found[0].metadata["uec_coefficients"]
    assert list(trust) == ["first", "second", "words"]
    assert 0 < trust["words"] < 1
    assert sum(trust.values()) == pytest.approx(1)


def test_spans_are_those_of_the_words_in_the_text_that_the_user_sees(retriever):
    [document] = retriever.invoke(QUERY, k=1)
    cited = [document.page_content[start:end] for start, end in document.metadata["uec_matched"]]
    assert cited == ["Zyzzyvas", "flow", "ZYZZYVA"]
    for other in retriever.invoke("wing layer", k=20):
        spans = other.metadata["uec_matched"]
        assert {other.page_content[start:end] for start, end in spans} <= {"wing", "layer"}
        words = other.page_content.split()
        assert len(spans) == sum(word in ("wing", "layer") for word in words)


def test_scores_of_the_experts_are_the_engines(retriever):
    expected = retriever.engine.search(QUERY, 4, expert_scores=True)
    found = retriever.invoke(QUERY)
    assert [d.metadata["uec_expert_scores"] for d in found] == [h.expert_scores for h in expected]
    assert set(found[0].metadata["uec_expert_scores"]) == {"first", "second", "words"}
    assert found[0].metadata["uec_expert_scores"]["words"] > found[1].metadata["uec_expert_scores"]["words"]
    plain = UECRetriever(engine=retriever.engine).invoke(QUERY)
    assert all(set(d.metadata) == {"n", "even"} for d in plain)


def test_a_query_of_stop_words_is_answered_by_the_models(retriever):
    found = retriever.invoke(STOP_WORDS, k=5)
    assert len(found) == 5
    for document in found:
        assert document.metadata["uec_coefficients"]["words"] == 0
        assert document.metadata["uec_matched"] == []
        assert list(document.metadata["uec_expert_scores"]) == ["first", "second"]


async def test_filters_hold_for_what_words_find(retriever):
    assert retriever.invoke(QUERY, filter={"n": 99})[0].id == "rare"
    others = retriever.invoke(QUERY, k=60, filter={"n": {"$lt": 99}})
    assert len(others) == 60
    assert "rare" not in [d.id for d in others]
    assert {d.metadata["even"] for d in await retriever.ainvoke(QUERY, filter={"even": True})} == {True}


def test_without_words(models, tmp_path):
    recipe = Recipe(pairs(), lexical=False)
    include = ["coefficients", "expert_scores", "matched"]
    made = UECRetriever.from_texts(["the wing", RARE], models, tmp_path, recipe, include=include)
    assert made.engine.manifest.lexical is None
    for document in made.invoke(QUERY):
        assert list(document.metadata["uec_coefficients"]) == ["first", "second"]
        assert list(document.metadata["uec_expert_scores"]) == ["first", "second"]
        assert document.metadata["uec_matched"] == []
    before = shown(made.invoke(QUERY))
    made.close()
    with UECRetriever(index=tmp_path, include=include) as opened:  # as it is
        assert shown(opened.invoke(QUERY)) == before
        assert opened.engine.manifest.lexical is None
        opened.add_documents([Document(page_content="zyzzyva")])
    with UECRetriever.from_texts(["flow"], location=tmp_path, include=include) as added:
        assert added.engine.manifest.lexical is None
        added.engine.use_words()
        [best] = added.invoke(QUERY, k=1)
        assert "words" in best.metadata["uec_coefficients"]
        assert best.metadata["uec_matched"]


def test_options_of_words(models, tmp_path):
    german = LexicalOptions(language="german", share=0.8)
    recipe = Recipe(pairs(), lexical=german)
    made = UECRetriever.from_texts(["die Flügel der Vögel", "cat"], models, tmp_path, recipe, k=1)
    assert made.engine.manifest.lexical == german
    [found] = UECRetriever(engine=made.engine, k=1, include=["matched"]).invoke("vogel")
    assert [found.page_content[start:end] for start, end in found.metadata["uec_matched"]] == ["Vögel"]
    with pytest.raises(InvalidInputError, match="without words.*use_words"):
        UECRetriever.from_texts(["dog"], location=tmp_path, recipe=Recipe(lexical=False))
    assert UECRetriever.from_texts(["dog"], location=tmp_path, recipe=recipe).engine.count() == 3


def test_where_words_are_asked_for_is_said_before_anything_is_made(models, tmp_path):
    folder = tmp_path / "index"
    with pytest.raises(TypeError, match=r"'lexical': give it in the recipe, Recipe\(lexical=\.\.\.\)"):
        UECRetriever.from_texts(["text"], models, folder, lexical=False)
    with pytest.raises(TypeError, match=r"Recipe\(lexical=\.\.\.\)"):
        UECVectorStore.from_texts(["text"], models, index=folder, lexical=False)
    with pytest.raises(InvalidInputError, match=r"LexicalOptions\(language=...\)"):
        Recipe(lexical="english")
    with pytest.raises(InvalidInputError, match="klingon"):
        Recipe(lexical=LexicalOptions("klingon"))
    assert not folder.exists()


def test_the_rescorer_sees_words_but_no_hits(retriever):
    given = [*documents(60), Document(id="rare", page_content=RARE)]
    rescorer = UECRescorer(engine=retriever.engine, include=["coefficients"], top_n=3)
    found = rescorer.compress_documents(given, QUERY)
    assert found[0].id == "rare"
    assert found[0].metadata["uec_coefficients"]["words"] > 0
    for name in ("matched", "expert_scores"):
        with pytest.raises(InvalidInputError, match=f"got '{name}'"):
            UECRescorer(engine=retriever.engine, include=[name])
    cited = rescorer.compress_documents(retriever.invoke(QUERY), QUERY)[0]  # an earlier stage knew them
    assert cited.metadata["uec_matched"] == retriever.invoke(QUERY)[0].metadata["uec_matched"]


async def test_the_vector_store_has_words(retriever, models):
    store = UECVectorStore(engine=retriever.engine)
    assert store.similarity_search(QUERY, k=1)[0].id == "rare"
    assert store.similarity_search(QUERY, k=60, filter={"n": {"$lt": 99}})[0].id != "rare"
    assert store.max_marginal_relevance_search(QUERY, k=3)[0].id == "rare"
    assert (await store.amax_marginal_relevance_search(QUERY, k=3, lambda_mult=0.9))[0].id == "rare"
    plain = UECVectorStore.from_texts(sentences(5), models, recipe=Recipe(pairs(), lexical=False))
    assert plain.engine.manifest.lexical is None


@pytest.mark.parametrize("lambda_mult", [0.0, 0.4, 1.0])
def test_diversity_against_trying_every_text(retriever, lambda_mult):
    engine, query = retriever.engine, "the large wing and the flow"
    hits = {h.id: h.raw_score for h in engine.search(query, 12)}
    vectors = engine.vectors_by_id(list(hits))

    def alike(one, other):
        a, b = vectors[one], vectors[other]
        return float(a @ b) / float((a @ a) ** 0.5 * (b @ b) ** 0.5)

    chosen = [max(hits, key=hits.__getitem__)]
    while len(chosen) < 5:
        left = [i for i in hits if i not in chosen]
        chosen.append(
            max(
                left,
                key=lambda i: lambda_mult * hits[i] - (1 - lambda_mult) * max(alike(i, c) for c in chosen),
            )
        )
    found = UECVectorStore(engine=engine).max_marginal_relevance_search(query, 5, 12, lambda_mult)
    assert [d.id for d in found] == chosen


def test_one_index_serves_engine_and_retriever(models, tmp_path):
    """What one of them adds, words of the other find."""
    with UECRetriever.from_texts(["the wing"], models, tmp_path, Recipe(pairs()), k=1) as made:
        with Engine.open(tmp_path, device="cpu") as other:
            other.add(["a zyzzyva"])
        assert made.invoke(QUERY)[0].page_content == "a zyzzyva"
        made.delete(filter=None, ids=[made.invoke(QUERY)[0].id])
        assert made.invoke(QUERY)[0].page_content == "the wing"
        for text, query in itertools.product(["the okapi"], ["okapi", "okapis"]):
            made.add_documents([Document(page_content=text)])
            assert made.invoke(query)[0].page_content == text
