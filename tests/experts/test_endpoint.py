"""EndpointEmbedding against a real server: what it asks, how it adapts, and which text it blames."""

import threading

import numpy as np
import pytest
import tenacity

from tests.embeddings_server import bag_of_words, raw
from uec_retriever.errors import EmbeddingError, InvalidInputError, NumericalError
from uec_retriever.experts.embedding_cache import EmbeddingCache
from uec_retriever.experts.endpoint import EndpointEmbedding
from uec_retriever.experts.expert import Expert

TEXTS = [f"text number {i} of many" for i in range(20)]


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    waited = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", waited.append)
    return waited


@pytest.fixture
def connect():
    yield lambda server, **options: EndpointEmbedding("tiny", base_url=server.url, **options)
    for thread in threading.enumerate():
        if thread.name.startswith("uec-endpoint"):  # of a test that did not listen to the end
            thread.join()


def embed(embedding, texts=TEXTS, role="document", batch_size=4):
    found = np.full((len(texts), 16), np.nan, dtype=np.float32)
    for rows, vectors in embedding.embed(texts, role, batch_size=batch_size):
        assert vectors.dtype == np.float32
        found[rows] = vectors
    return found


def failure(embedding, texts=TEXTS, **options):
    with pytest.raises(EmbeddingError) as refused:
        embed(embedding, texts, **options)
    return refused.value


@pytest.mark.parametrize("asked", ["float", "base64"])
@pytest.mark.parametrize("formats", [("float",), ("float", "base64")])
@pytest.mark.parametrize("shuffled", [False, True])
def test_vectors_are_the_servers_in_the_order_of_the_texts(serve, connect, asked, formats, shuffled):
    server = serve(formats=formats, shuffled=shuffled)
    found = embed(connect(server, encoding_format=asked))
    np.testing.assert_allclose(found, bag_of_words(TEXTS), rtol=1e-6)
    assert sorted(len(body["input"]) for body in server.requests) == [4] * 5
    assert {body["encoding_format"] for body in server.requests} == {asked}


def test_prompts_dimensions_headers_and_key_are_sent(serve, connect, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "k3y")
    server = serve(key="k3y")
    embedding = connect(
        server,
        api_key_variable="OTHER_KEY",
        headers={"X-Team": "red"},
        dimensions=8,
        prompts={"query": "query: ", "document": "passage: "},
    )
    for role, start in (("query", "query: "), ("document", "passage: "), ("text", "")):
        [(rows, vectors)] = embedding.embed(["a b"], role, batch_size=3)
        assert (list(rows), vectors.shape) == ([0], (1, 8))
        assert server.requests[-1] == {
            "model": "tiny",
            "encoding_format": "float",
            "dimensions": 8,
            "input": [start + "a b"],
        }
    assert {headers["X-Team"] for headers in server.headers} == {"red"}


def test_requests_run_at_once_and_no_more_than_allowed(serve, connect):
    server = serve(delay=0.1)
    embed(connect(server, concurrency=3), batch_size=1)
    assert server.most_at_once == 3
    server.most_at_once = 0
    embed(connect(server, concurrency=1), TEXTS[:4], batch_size=1)
    assert server.most_at_once == 1


@pytest.mark.parametrize("refusal", [413, 422, 400])
def test_batches_adapt_to_the_server_and_stay_so(serve, connect, refusal):
    server = serve(most=5, refusal=refusal)
    embedding = connect(server, concurrency=1)
    found = embed(embedding, batch_size=16)
    np.testing.assert_allclose(found, bag_of_words(TEXTS), rtol=1e-6)
    assert [len(body["input"]) for body in server.requests] == [16, 8, 4, 4, 4, 4, 4]  # it learns but once
    server.requests.clear()
    embed(embedding, batch_size=16)
    assert [len(body["input"]) for body in server.requests] == [4] * 5
    assert all(count == 2 for count in server.embedded.values())


@pytest.mark.parametrize("place", [0, 7, 19])
def test_a_text_too_long_is_found_and_nothing_that_was_paid_for_is_lost(serve, connect, place):
    server = serve(longest=100)
    texts = [*TEXTS[:place], "long " * 30, *TEXTS[place + 1 :]]
    head = Expert.of(connect(server, concurrency=2)).head.with_cache(EmbeddingCache())
    options = {"batch_size": 8, "progress": None, "prompts": ()}
    for _ in range(3):
        with pytest.raises(EmbeddingError, match=r"context length is 100.*split or shorten it") as refused:
            head.linearise(texts, "document", **options)
        assert refused.value.position == place
    paid = server.embedded.copy()
    texts[place] = "short now"
    found = head.linearise(texts, "document", **options)
    np.testing.assert_allclose(
        found.embeddings.numpy() * np.linalg.norm(bag_of_words(texts), axis=1, keepdims=True),
        bag_of_words(texts),
        rtol=1e-5,
        atol=1e-5,
    )
    assert all(server.embedded[text] == 1 for text in texts)
    assert paid <= server.embedded
    head.linearise(texts, "document", **options)
    assert all(server.embedded[text] == 1 for text in texts)
    head.cache.close()


def test_the_position_counts_from_the_first_of_all_texts(serve, connect, posterior):
    expert = Expert.of(connect(serve(longest=100)))
    expert = expert.with_posterior(posterior(expert))
    texts = [f"t {i}" for i in range(700)]
    texts[600] = "long " * 30
    with pytest.raises(EmbeddingError) as refused:
        expert.encode(texts, "document")
    assert refused.value.position == 600


def test_no_text_is_blamed_for_an_option_that_the_server_does_not_have(serve, connect):
    server = serve()
    server.failures[:] = [400] * 20
    refused = failure(connect(server, concurrency=1), batch_size=20)
    assert refused.position is None
    assert "refuses any text: look at the model's name and options" in str(refused)


def test_texts_are_counted_when_a_failure_passes(serve, connect, slept):
    server = serve()
    server.failures[:] = [raw(429, Retry_After=3), 500, "cut", 503]
    np.testing.assert_allclose(embed(connect(server)), bag_of_words(TEXTS), rtol=1e-6)
    assert len(slept) == 4 and 3 in slept


def test_a_server_that_is_down_is_named(serve, connect, slept):
    server = serve()
    embedding = connect(server, attempts=2, concurrency=3)
    server.stop()
    refused = failure(embedding, batch_size=1)
    assert f"openai:tiny at {server.url}: cannot reach the server 127.0.0.1" in str(refused)
    assert refused.position is None
    assert len(slept) <= 3  # batches that had not begun did not begin


@pytest.mark.parametrize(
    ("options", "named"),
    [({"key": "another"}, "401.*OPENAI_API_KEY"), ({"model": "other"}, "404.*model tiny does not exist")],
)
def test_refusals_say_what_to_do(serve, connect, slept, options, named):
    with pytest.raises(EmbeddingError, match=named) as refused:
        embed(connect(serve(**options), concurrency=1))
    assert refused.value.position is None
    assert slept == []


@pytest.mark.parametrize("broken", ["half", "null", "missing"])
def test_answers_that_are_no_embeddings(serve, connect, broken):
    refused = failure(connect(serve(broken=broken)))
    assert "something else than as many embeddings" in str(refused) and "/v1/embeddings" in str(refused)


@pytest.mark.parametrize(
    "data",
    [
        "null",
        "{}",
        "[1, 2]",
        '[{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]',
        '[{"index": 7, "embedding": [1]}, {"index": 0, "embedding": [1]}]',
        '[{"index": 1e999, "embedding": [1]}, {"index": 0, "embedding": [1]}]',
        '[{"embedding": []}, {"embedding": []}]',
        '[{"embedding": [[1]]}, {"embedding": [[1]]}]',
        '[{"embedding": ["x"]}, {"embedding": [1]}]',
        '[{"embedding": "%%"}, {"embedding": [1]}]',
        '[{"embedding": "AAA="}, {"embedding": [1]}]',
        '[{"embedding": ""}, {"embedding": [1]}]',
        '[{"embedding": {"a": 1}}, {"embedding": [1]}]',
        '[{"embedding": [1' + "0" * 400 + ']}, {"embedding": [1]}]',
        '[{"embedding": [1, 2]}, {"embedding": [1]}]',
    ],
    ids=lambda data: data[:60],
)
def test_garbage_that_is_json(serve, connect, data):
    server = serve()
    server.failures[:] = [raw(200, f'{{"data": {data}}}')]
    told = str(failure(connect(server), ["a", "b"]))
    assert f"openai:tiny at {server.url}" in told
    assert len(told) < 600


def test_an_index_of_null_means_the_order(serve, connect):
    server = serve()
    answer = '{"data": [{"index": null, "embedding": [1]}, {"index": null, "embedding": [2]}]}'
    server.failures[:] = [raw(200, answer)]
    [(rows, vectors)] = connect(server).embed(["a", "b"], "query", batch_size=2)
    assert (list(rows), vectors.tolist()) == ([0, 1], [[1.0], [2.0]])


@pytest.mark.parametrize("number", ["1e39", "-1e999", "NaN"])
def test_numbers_beyond_floats_are_refused_as_such(serve, connect, number):
    server = serve()
    answer = f'{{"data": [{{"embedding": [{number}, 1]}}, {{"embedding": [1, 2]}}]}}'
    server.failures[:] = [raw(200, answer)]
    with pytest.raises(NumericalError) as refused:
        Expert.of(connect(server)).linearise(["a", "b"], "document")
    assert refused.value.position == 0


@pytest.mark.parametrize("broken", ["nan", "zero"])
def test_embeddings_without_a_direction_cost_the_others_nothing(serve, connect, broken):
    server = serve()
    head = Expert.of(connect(server, concurrency=2)).head.with_cache(EmbeddingCache())
    assert head.dimension == 16 and head.fingerprint
    server.broken = broken  # the last text of each batch
    options = {"batch_size": 5, "progress": None, "prompts": ()}
    with pytest.raises(NumericalError, match="zero, NaN or infinite") as refused:
        head.linearise(TEXTS, "document", **options)
    assert refused.value.position == 4
    server.broken = None
    head.linearise(TEXTS, "document", **options)
    counts = [server.embedded[text] for text in TEXTS]
    assert counts == [2 if i % 5 == 4 else 1 for i in range(20)]
    head.cache.close()


def test_another_dimension_in_the_middle_is_refused(serve, connect):
    server = serve()
    head = Expert.of(connect(server)).head
    assert head.dimension == 16
    server.broken = "dimension"
    with pytest.raises(EmbeddingError, match="15 numbers .* where it gave 16 before: another model"):
        head.linearise(TEXTS, "document", batch_size=5, progress=None, prompts=())


def test_what_llama_cpp_says_of_a_long_text_is_understood(serve, connect):
    server = serve(longest=100, too_long=500)
    refused = failure(connect(server), [*TEXTS, "long " * 30])
    assert refused.position == 20
    assert len(server.requests) == 7  # six batches, one of them refused, and a harmless text


def test_whoever_stops_listening_stops_the_requests(serve, connect):
    server = serve()
    batches = connect(server, concurrency=1).embed(TEXTS, "document", batch_size=1)
    next(batches)
    batches.close()
    assert len(server.requests) < 5


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"attempts": 1.5},
        {"attempts": 0},
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": float("inf")},
        {"dimensions": 0},
        {"dimensions": True},
        {"encoding_format": "hex"},
        {"prompts": {"passage": "x"}},
        {"prompts": {1: "x"}},
        {"prompts": {"query": None}},
        {"prompts": {"query": "\ud800"}},
        {"model": ""},
        {"model": "\ud800"},
        {"model": "m@ftp://h"},
        {"prompts": "query: "},
        {"base_url": "localhost:8000"},
        {"colour": "red"},
    ],
    ids=ascii,
)
def test_options_that_are_none(options):
    given = {"model": "m", "base_url": "http://localhost/v1", **options}
    with pytest.raises(TypeError if "colour" in options else InvalidInputError):
        EndpointEmbedding(**given)
    with pytest.raises(InvalidInputError):
        Expert.load(f"openai:{given.pop('model')}", **given)
