"""JSONClient against a real server: what is tried again, what is refused, and what no message may show."""

import contextlib
import email.utils
import gc
import gzip
import os
import time
import traceback

import pytest
import tenacity

from tests.embeddings_server import EmbeddingServer, raw
from uec_retriever.errors import InvalidInputError
from uec_retriever.json_client import JSONClient, RefusedError

ASKED = {"model": "tiny", "input": ["a b"]}


@pytest.fixture
def slept(monkeypatch):
    """Seconds that were waited, without waiting."""
    waited = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", waited.append)
    return waited


@pytest.fixture
def server():
    with EmbeddingServer() as made:
        yield made


@pytest.fixture
def connect(server):
    return lambda url=None, **options: JSONClient(url or server.url, **options)


def ask(client):
    return client.request("POST", "embeddings", ASKED)


def refusal(client):
    with pytest.raises(RefusedError) as refused:
        ask(client)
    return refused.value


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(server, connect, slept, status):
    server.failures[:] = [status] * 2
    assert len(ask(connect())["data"]) == 1
    assert len(slept) == 2
    assert all(0 <= seconds <= 20 for seconds in slept)
    server.failures[:] = [status] * 3
    refused = refusal(connect(attempts=3))
    assert f"answered {status}" in str(refused) and "tried 3 times" in str(refused)
    assert refused.status == status
    assert not server.failures


def test_a_limit_by_the_minute_is_waited_for(server, connect, slept):
    server.failures[:] = [429] * 6
    assert refusal(connect(attempts=6)).status == 429
    assert 62 <= sum(slept) <= 72


def test_an_account_without_credit_is_not_waited_for(server, connect, slept):
    server.failures[:] = [raw(429, '{"error": {"code": "insufficient_quota", "message": "check your plan"}}')]
    assert "check your plan" in str(refusal(connect()))
    assert slept == []


@pytest.mark.parametrize("status", [400, 404, 413, 418, 422, 501])
def test_what_will_not_pass_is_not(server, connect, slept, status):
    server.failures[:] = [status] * 2
    refused = refusal(connect())
    assert (refused.status, len(server.failures), slept) == (status, 1, [])
    assert f"refused with {status}" in str(refused) and "busy" in str(refused)


def test_waits_are_what_the_server_asks_for(server, connect, slept):
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    asked = ["7", "1.5", date, "-3", email.utils.formatdate(0, usegmt=True)]
    server.failures[:] = [raw(429, "slow down", Retry_After=each) for each in asked]
    assert ask(connect(attempts=6))["data"]
    assert slept == [7, 1.5, pytest.approx(60, abs=5), 0, 0]


@pytest.mark.parametrize("asked", ["soon", "", "Thu, 99 Foo 2020", "Mon, 01 Jan 0001 00:00:00 -0000", "nan"])
def test_a_wait_that_is_none_is_a_usual_one(server, connect, slept, asked):
    server.failures[:] = [raw(429, Retry_After=asked)]
    assert ask(connect())["data"]
    assert len(slept) == 1 and 0 <= slept[0] <= 20


@pytest.mark.parametrize("asked", ["121", "1e9", "inf", email.utils.formatdate(4e9, usegmt=True)])
def test_nobody_waits_for_hours(server, connect, slept, asked):
    server.failures[:] = [raw(429, "quota", Retry_After=asked)]
    refused = refusal(connect())
    assert "asks to wait" in str(refused) and "quota" in str(refused)
    assert (refused.status, slept) == (429, [])


def test_a_connection_that_breaks_is_made_again(server, connect, slept):
    broken = [
        "cut",
        b"",
        b"rubbish\r\n\r\n",
        raw(200, b"zz\r\nrubbish", Transfer_Encoding="chunked"),
        raw(200, b'{"data"', Content_Length=100),
    ]
    server.failures[:] = list(broken)
    assert ask(connect(attempts=6))["data"]
    assert len(slept) == len(broken)


def test_slow_answers(server, connect, slept):
    server.failures[:] = [3.0]
    client = connect(timeout=0.6, attempts=2)
    assert ask(client)["data"]
    server.failures[:] = [3.0, 3.0]
    assert "did not answer within 0.6 seconds: raise the timeout" in str(refusal(client))


def test_nobody_there(server, connect, slept):
    server.stop()
    refused = refusal(connect(attempts=3))
    assert "cannot reach the server 127.0.0.1" in str(refused) and "tried 3 times" in str(refused)
    assert refused.status is None


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            raw(200, "<html>\n <body>hello", Content_Type="text/html; charset=hex"),
            "no JSON: <html> <body>hello",
        ),
        (raw(200, b"\xff\xfe\x00"), "no JSON"),
        (raw(200), "no JSON"),
        (raw(200, "[" * 100_000), "no JSON"),
        (raw(200, "9" * 5000), "no JSON"),
        (raw(200, "[1]"), "no JSON object"),
        (raw(200, b"no gzip", Content_Encoding="gzip"), "cannot be unpacked"),
        (raw(204), "no JSON"),
        (raw(307, Location="/elsewhere/embeddings"), "redirects to /elsewhere: give that address"),
        (
            raw(301, Location="https://me:SEKRET@other:99/v2/embeddings?token=SEKRET"),
            "redirects to https://other:99/v2: give",
        ),
        (raw(304), "refused with 304"),
        (raw(200, '{"error": "Unexpected endpoint"}'), "answered with an error (asked for http"),
        (raw(500, '{"error": "input is too large to process"}'), "refused with 500"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_answers_that_are_none(server, connect, slept, answer, told):
    server.failures[:] = [answer]
    refused = refusal(connect())
    assert told in str(refused)
    assert "SEKRET" not in str(refused)
    assert slept == []


def test_gzip_is_unpacked(server, connect):
    server.failures[:] = [raw(200, gzip.compress(b'{"data": 1}'), Content_Encoding="gzip")]
    assert ask(connect()) == {"data": 1}


@pytest.mark.parametrize(
    ("path", "asked"), [("", "/embeddings"), ("/v1/embeddings", "/v1/embeddings/embeddings")]
)
def test_another_path_is_named(server, connect, path, asked):
    url = server.url.removesuffix("/v1") + path
    told = str(refusal(connect(url)))
    assert f"refused with 404 (asked for {server.url.removesuffix('/v1')}{asked}:" in told
    assert "end as /v1 does" in told


@pytest.mark.parametrize("end", ["", "/", "//", " ", "/\n"])
def test_slashes_and_spaces_at_the_end_do_no_harm(server, connect, end):
    client = connect(server.url + end)
    assert ask(client)["data"]
    assert client.address == server.url
    assert server.paths == ["/v1/embeddings"]


def test_ipv6():
    try:
        server = EmbeddingServer(host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        client = JSONClient(server.url)
        assert ask(client)["data"]
        assert client.address == server.url == f"http://[::1]:{server.server_port}/v1"
        client.close()


@pytest.mark.parametrize(
    "url", ["http://h:99999/v1", "http://h:-1", "http://h :8000", "http://", "h:80", "", None, b"http://h", 7]
)
def test_addresses_that_are_none(url):
    with pytest.raises(InvalidInputError, match="address must be such as http://localhost:8000/v1"):
        JSONClient(url)


def test_closed(connect):
    client = connect()
    client.close()
    assert "was closed" in str(refusal(client))


def test_a_client_that_is_forgotten_leaves_no_connection(server):
    client = JSONClient(server.url)
    ask(client)
    inner = client._client
    del client
    gc.collect()
    assert inner.is_closed


@pytest.mark.parametrize("options", [{"attempts": 0}, {"timeout": 0}, {"timeout": float("nan")}])
def test_numbers_out_of_range(options):
    with pytest.raises(InvalidInputError, match="attempts must be at least 1"):
        JSONClient("http://h", **options)


def test_a_proxy_that_is_none(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "nonsense://me:SEKRET@proxy")
    with pytest.raises(InvalidInputError, match="ALL_PROXY") as refused:
        JSONClient("http://h")
    assert "SEKRET" not in "".join(traceback.format_exception(refused.value))


def test_the_key_is_sent_and_a_key_in_a_header_goes_before(server, connect, monkeypatch):
    monkeypatch.setenv("A_KEY", "from the environment")
    server.key = "given"
    assert ask(connect(api_key="given", api_key_variable="A_KEY"))["data"]
    assert ask(connect(api_key=" given\n"))["data"]  # as a file has it
    assert ask(connect(api_key_variable="A_KEY", headers={"authorization": "Bearer given"}))["data"]
    told = str(refusal(connect(api_key_variable="B_KEY")))
    assert "401 (the key is taken from the environment variable B_KEY, which is not set)" in told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_read_the_answers_to_another(server, connect):
    client = connect()
    ask(client)
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os._exit(0 if ask(client)["data"] else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(server.connections) == 2  # a connection of its own
    ask(client)
    assert len(server.connections) == 2  # and the parent's goes on
