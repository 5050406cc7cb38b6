"""One rule for ids that are there, for metadata, and one name for the candidates: as in the engine and on the command line."""

from datetime import date

import pytest
from langchain_core.documents import Document
from langchain_small import documents, pairs, shown

from langchain_uec import UECRetriever, UECVectorStore
from uec_retriever import Engine, Recipe
from uec_retriever.errors import IdConflictError, InvalidInputError

OLD, NEW = Document(id="a", page_content="the wing"), Document(id="a", page_content="a red bird")
QUERY = "what flow has the large wing"


@pytest.fixture(params=[UECRetriever, UECVectorStore])
def filled(request, models, tmp_path):
    """A retriever or a store over an index of one document."""
    engine = Engine.from_texts(["the wing"], models[:1], tmp_path / "i", Recipe(pairs()), ids=["a"])
    return request.param(engine=engine)


def test_the_new_text_takes_the_place_of_the_old_one_and_that_is_told(filled, caplog):
    with caplog.at_level("INFO", "uec_retriever"):
        assert filled.add_documents([NEW]) == ["a"]
    assert "1 texts replaced others of the same id, e.g. 'a'" in caplog.text
    assert [(r.id, r.text) for r in filled.engine.get()] == [("a", "a red bird")]


def test_the_old_text_stays_on_request(filled):
    more = Document(id="b", page_content="flow")
    with pytest.raises(IdConflictError, match="'a'.*existing='replace'"):
        filled.add_documents([NEW, more], existing="refuse")
    assert filled.engine.count() == 1
    assert filled.add_documents([NEW, more], existing="skip") == ["a", "b"]
    assert {r.id: r.text for r in filled.engine.get()} == {"a": "the wing", "b": "flow"}
    with pytest.raises(InvalidInputError, match="existing must be one of"):
        filled.add_documents([NEW], existing="update")


def test_making_an_index_goes_by_the_same_rule(models, tmp_path):
    for made in (
        lambda **options: UECVectorStore.from_documents([NEW], None, index=tmp_path / "i", **options),
        lambda **options: UECRetriever.from_documents([NEW], location=tmp_path / "i", **options),
    ):
        UECVectorStore.from_documents([OLD], models[:1], index=tmp_path / "i", recipe=Recipe(pairs()))
        with pytest.raises(IdConflictError):
            made(existing="refuse")
        assert made(existing="skip").engine.get()[0].text == "the wing"
        assert made().engine.get()[0].text == "a red bird"
        with pytest.raises(InvalidInputError, match="existing must be one of"):
            made(existing=True)


def test_one_id_for_two_documents_of_a_call_is_refused_by_every_rule(filled):
    for existing in ("replace", "refuse", "skip"):
        with pytest.raises(IdConflictError, match="'x' is given twice"):
            filled.add_documents(
                [Document(id="x", page_content="one"), Document(id="x", page_content="two")],
                existing=existing,
            )


def test_metadata(filled):
    given = {"none": None, "empty": [], "day": date(2024, 2, 29), "n": 1}
    filled.add_documents([Document(id="b", page_content="flow heat", metadata=given)])
    assert filled.engine.get(["b"])[0].metadata == {"day": "2024-02-29", "n": 1}
    with pytest.raises(InvalidInputError, match="metadata of 'c', key 'nested'"):
        filled.add_documents([Document(id="c", page_content="x", metadata={"nested": {"a": 1}})])


def test_an_empty_corpus_says_so(models):
    with pytest.raises(InvalidInputError, match="the corpus is empty"):
        UECVectorStore.from_texts([], models)


def test_one_text_is_enough(models, caplog):
    with UECVectorStore.from_texts(["the wing"], models[:1]) as store:
        assert "Python standard library" in store.engine.manifest.reference
        assert [d.page_content for d in store.similarity_search("wing")] == ["the wing"]


@pytest.fixture
def many(models, tmp_path):
    return Engine.from_texts(
        [d.page_content for d in documents()],
        models,
        tmp_path / "many",
        Recipe(pairs()),
        ids=[d.id for d in documents()],
    )


@pytest.mark.parametrize("name", ["candidates", "fetch_k"])
def test_candidates_have_two_names(many, name):
    found = [(h.id, h.text) for h in many.search(QUERY, 4, candidates=4)]
    one = {name: 4}
    assert shown(UECRetriever(engine=many, **one).invoke(QUERY)) == found
    assert UECRetriever(engine=many, **one).candidates == 4
    assert shown(UECRetriever(engine=many).invoke(QUERY, **one)) == found
    assert shown(UECRetriever(engine=many, candidates=60).invoke(QUERY, **one)) == found
    store = UECVectorStore(engine=many)
    assert shown(store.similarity_search(QUERY, **one)) == found
    assert shown(store.as_retriever(search_kwargs=one).invoke(QUERY)) == found
    vector = store.embeddings.embed_query(QUERY)
    for found_by_vector in (
        store.similarity_search_by_vector(vector, 3, **{name: 3}),
        store.max_marginal_relevance_search(QUERY, 3, **{name: 3}),
        store.max_marginal_relevance_search_by_vector(vector, 3, **{name: 3}),
        store.as_retriever(search_type="mmr", search_kwargs={"k": 3, name: 3}).invoke(QUERY),
    ):
        assert len(found_by_vector) == 3
    for refuse in (
        lambda: UECRetriever(engine=many, **{name: 1}),
        lambda: UECRetriever(engine=many).invoke(QUERY, **{name: 1}),
        lambda: store.as_retriever(search_kwargs={name: 1}),
        lambda: store.as_retriever(search_type="mmr", search_kwargs={name: 1}),
        lambda: store.max_marginal_relevance_search(QUERY, 3, **{name: 2}),
        lambda: store.max_marginal_relevance_search_by_vector(vector, 3, **{name: 2}),
    ):
        with pytest.raises(InvalidInputError, match="candidates must be at least"):
            refuse()


@pytest.mark.parametrize("name", ["candidates", "fetch_k"])
async def test_diversity_chooses_among_the_candidates(many, name):
    store, candidates = UECVectorStore(engine=many), {name: 6}
    vector = store.embeddings.embed_query(QUERY)
    by_text, by_vector = (
        {h.id for h in many.search(QUERY, 6, candidates=6)},
        {h.id for h in many.search_embedding(vector, 6, candidates=6)},
    )
    diverse = {"search_type": "mmr", "search_kwargs": {"k": 6, **candidates}}
    for expected, found in (
        (by_text, store.max_marginal_relevance_search(QUERY, 6, **candidates)),
        (by_text, await store.amax_marginal_relevance_search(QUERY, 6, **candidates)),
        (by_text, store.as_retriever(**diverse).invoke(QUERY)),
        (by_text, await store.as_retriever(**diverse).ainvoke(QUERY)),
        (by_vector, store.max_marginal_relevance_search_by_vector(vector, 6, **candidates)),
        (by_vector, await store.amax_marginal_relevance_search_by_vector(vector, 6, **candidates)),
    ):
        assert {d.id for d in found} == expected


async def test_diversity_takes_as_many_as_are_asked_for(many):
    store = UECVectorStore(engine=many)
    vector = store.embeddings.embed_query(QUERY)
    for found in (
        store.max_marginal_relevance_search(QUERY, 35),
        await store.amax_marginal_relevance_search(QUERY, 35),
        store.max_marginal_relevance_search_by_vector(vector, 35),
        await store.amax_marginal_relevance_search_by_vector(vector, 35),
    ):
        assert len(found) == 35


def test_two_numbers_under_the_two_names_are_refused(many):
    for call in (
        lambda **options: UECRetriever(engine=many, **options),
        lambda **options: UECRetriever(engine=many).invoke(QUERY, **options),
        lambda **options: UECVectorStore(engine=many).similarity_search(QUERY, **options),
        lambda **options: UECVectorStore(engine=many).max_marginal_relevance_search(QUERY, **options),
        lambda **options: UECVectorStore(engine=many).as_retriever(search_type="mmr", search_kwargs=options),
    ):
        with pytest.raises(InvalidInputError, match="two names of one number"):
            call(candidates=40, fetch_k=50)
        assert call(candidates=40, fetch_k=40)
