"""Many queries in one call: fewer calls of the experts, and everything else as for one query after the other."""

import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_small import pairs, sentences, shown, telling

from langchain_uec import UECRetriever, UECVectorStore
from langchain_uec.together import GROUP
from uec_retriever import Engine, Recipe
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.errors import InvalidInputError, LowConfidenceError

QUERIES = sentences(40, seed=5)
KINDS = ["retriever", "similarity", "similarity_score_threshold", "mmr"]


@pytest.fixture
def encoded(monkeypatch):
    """How many queries were encoded at once, call by call."""
    calls, real = [], Ensemble.encode_queries

    def count(self, queries):
        calls.append(len(queries))
        return real(self, queries)

    monkeypatch.setattr(Ensemble, "encode_queries", count)
    return calls


@pytest.fixture
def make(engine):
    def make(kind, **options):
        if kind == "retriever":
            return UECRetriever(engine=engine, **options)
        if kind == "similarity_score_threshold":
            options = {"score_threshold": 0.5, **options}
        return UECVectorStore(engine=engine).as_retriever(search_type=kind, search_kwargs=options)

    return make


class Runs(BaseCallbackHandler):
    """The runs of a retriever, what they were called, and what became of them."""

    def __init__(self):
        self.started, self.named, self.ended, self.failed = {}, {}, {}, {}

    def on_retriever_start(self, serialized, query, *, run_id, name=None, **kwargs):
        self.started[run_id] = query
        self.named[query] = name

    def on_retriever_end(self, documents, *, run_id, **kwargs):
        self.ended[run_id] = documents

    def on_retriever_error(self, error, *, run_id, **kwargs):
        self.failed[run_id] = error


async def call(retriever, method, queries, config=None, **options):
    """What a method gives, in the order of the queries."""
    if method == "batch":
        return retriever.batch(queries, config, **options)
    if method == "abatch":
        return await retriever.abatch(queries, config, **options)
    if method == "batch_as_completed":
        found = list(retriever.batch_as_completed(queries, config, **options))
    else:
        found = [each async for each in retriever.abatch_as_completed(queries, config, **options)]
    return [documents for _, documents in sorted(found, key=lambda each: each[0])]


METHODS = ["batch", "abatch", "batch_as_completed", "abatch_as_completed"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
async def test_forty_queries_are_encoded_at_once_and_find_what_they_find_alone(make, kind, method, encoded):
    retriever = make(kind, k=3)
    alone = [retriever.invoke(query) for query in QUERIES]
    assert encoded == [1] * 40
    encoded.clear()
    together = await call(retriever, method, QUERIES)
    assert encoded == [40]
    assert list(map(shown, together)) == list(map(shown, alone))


@pytest.mark.parametrize("method", METHODS)
async def test_each_query_has_a_run_of_its_own(make, method):
    runs, names = Runs(), [f"search {i}" for i in range(len(QUERIES))]
    config = [{"callbacks": [runs], "run_name": each} for each in names]
    found = await call(make("retriever"), method, QUERIES, config)
    assert runs.named == dict(zip(QUERIES, names, strict=True))
    ended = {runs.started[each]: documents for each, documents in runs.ended.items()}
    assert [ended[query] for query in QUERIES] == found
    assert len(runs.started) == 40
    assert not runs.failed


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["retriever", "similarity"])
async def test_a_query_that_cannot_be_searched_for_fails_alone(make, kind, method, encoded):
    runs, queries = Runs(), [QUERIES[0], " ", QUERIES[1], 5, "nul \0"]
    found = await call(make(kind), method, queries, {"callbacks": [runs]}, return_exceptions=True)
    assert [type(each) for each in found] == [
        list,
        InvalidInputError,
        list,
        InvalidInputError,
        InvalidInputError,
    ]
    assert "NUL" in str(found[4])
    assert len(runs.failed) == 3
    assert encoded == [2]
    with pytest.raises(InvalidInputError, match="^query 0 "):
        await call(make(kind), method, queries)


@pytest.mark.parametrize("method", METHODS)
async def test_what_fails_for_all_is_told_for_each(make, method):
    found = await call(
        make("retriever"), method, QUERIES[:3], filter={"n": {"$no": 1}}, return_exceptions=True
    )
    assert ["$no" in str(each) for each in found] == [True] * 3
    with pytest.raises(TypeError, match="'kk': it takes k, filter"):
        await call(make("retriever"), method, QUERIES[:3], kk=1)


async def test_one_that_fails_in_the_middle_leaves_the_others_their_results(make, monkeypatch):
    """As an embedding that refuses one text does: the search of all fails, so each is made alone."""
    real = Ensemble.encode_queries

    def refuse(self, queries):
        if QUERIES[2] in queries:
            raise InvalidInputError("not this one")
        return real(self, queries)

    monkeypatch.setattr(Ensemble, "encode_queries", refuse)
    for method in METHODS:
        found = await call(make("retriever"), method, QUERIES[:4], return_exceptions=True)
        assert [type(each) for each in found] == [list, list, InvalidInputError, list]


def test_options_of_the_call_hold_for_all(make, encoded):
    found = make("retriever").batch(QUERIES[:5], k=2, filter={"even": True}, score_threshold=0.1)
    assert encoded == [5]
    assert all(0 < len(each) <= 2 and d.metadata["even"] for each in found for d in each)


def test_a_text_given_twice_is_searched_once_and_given_twice(make, encoded):
    one, other = make("retriever").batch([QUERIES[0]] * 2)
    assert encoded == [1]
    assert one == other
    one[0].metadata["changed"] = True
    assert "changed" not in other[0].metadata


@pytest.fixture(scope="module")
def tagged(models, tmp_path_factory):
    """An index whose metadata have lists."""
    folder, tags = (
        tmp_path_factory.mktemp("tagged") / "index",
        [{"tags": [f"tag {i}", "all"]} for i in range(3)],
    )
    with Engine.from_texts(QUERIES[:3], models, folder, Recipe(pairs()), metadatas=tags) as engine:
        yield engine


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_done_to_a_document_is_done_to_no_other(tagged, kind, method):
    store = UECVectorStore(engine=tagged)
    if kind == "retriever":
        retriever = UECRetriever(engine=tagged, k=3, include=["coefficients", "expert_scores", "matched"])
    else:
        options = {"score_threshold": 0.0} if kind.endswith("threshold") else {}
        retriever = store.as_retriever(search_type=kind, search_kwargs={"k": 3, **options})
    found = await call(retriever, method, [QUERIES[0], QUERIES[0], QUERIES[1]])
    found += [store.get_by_ids([found[0][0].id]) for _ in range(2)]
    values = [v for each in found for d in each for v in d.metadata.values() if isinstance(v, list | dict)]
    assert len(values) >= 3 * 3 + 2
    assert len({id(v) for v in values}) == len(values)


def test_more_than_a_group_of_queries(make, encoded):
    queries = sentences(GROUP + 10, seed=8)
    assert len(make("retriever").batch(queries, {"max_concurrency": 2})) == GROUP + 10
    assert sorted(encoded) == [10, GROUP]
    assert make("retriever").batch([]) == []


def test_in_a_chain_and_configured(make, encoded):
    chain = make("retriever") | RunnableLambda(len)
    assert chain.batch(QUERIES[:6]) == [4] * 6
    assert encoded == [6]
    configurable = make("retriever").configurable_fields(k=ConfigurableField("k"))
    assert [len(each) for each in configurable.batch(QUERIES[:3], {"configurable": {"k": 2}})] == [2] * 3
    each_its_own = [{"configurable": {"k": k}} for k in (1, 2, 3)]
    assert [len(each) for each in configurable.batch(QUERIES[:3], each_its_own)] == [1, 2, 3]


@pytest.fixture(scope="module")
def confident(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("confident") / "index"
    with Engine.from_texts(telling(80), models, folder, Recipe(pairs()), device="cpu") as engine:
        engine.calibrate_confidence(k=1)
        yield engine


@pytest.mark.parametrize("method", METHODS)
async def test_each_abstains_for_itself(confident, method, encoded):
    queries = [*QUERIES[:8], confident.get()[0].text.split(".")[0]]
    confidences = [confident.search(q).confidence for q in queries]
    least = sorted(confidences)[4]
    encoded.clear()
    retriever = UECRetriever(engine=confident, min_confidence=least, abstain="raise")
    found = await call(retriever, method, queries, return_exceptions=True)
    assert encoded == [len(queries)]
    assert [isinstance(each, LowConfidenceError) for each in found] == [c < least for c in confidences]
    empty = await call(retriever, method, queries, abstain="empty")
    assert [each == [] for each in empty] == [c < least for c in confidences]


async def test_the_event_loop_goes_on(make):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await make("retriever").abatch(QUERIES)
    ticking.cancel()
    assert ticks > 3
