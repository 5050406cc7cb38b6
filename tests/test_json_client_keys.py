"""JSONClient: no message shows a key, whatever the server does and whatever is wrong with the key."""

import pickle
import traceback

import pytest

from tests.embeddings_server import EmbeddingServer, raw
from uec_retriever.errors import InvalidInputError
from uec_retriever.json_client import JSONClient, RefusedError


@pytest.fixture
def server():
    with EmbeddingServer() as made:
        yield made


def refusal(client):
    with pytest.raises(RefusedError) as refused:
        client.request("POST", "embeddings", {"model": "tiny", "input": ["a"]})
    return refused.value


SECRETS = [
    {"api_key": "SEKRET"},
    {"headers": {"api-key": "SEKRET"}},
    {"headers": {"Authorization": "Basic SEKRET"}},
    {"url": "http://me:SEKRET@"},
]
ECHOED = b"you sent Bearer SEKRET, SEKRET, Basic SEKRET and Basic bWU6U0VLUkVU"


@pytest.mark.parametrize("secret", SECRETS, ids=str)
@pytest.mark.parametrize(
    "failure",
    [
        *(raw(status, ECHOED) for status in (200, 307, 400, 401, 404, 429, 500)),
        raw(307, Location="http://else/SEKRET"),
        raw(429, ECHOED, Retry_After="1e9"),
        b"HTTP/1.1 SEKRET SEKRET\r\n\r\n",
        b"",
    ],
    ids=lambda answer: str(answer[:20]),
)
def test_no_message_shows_a_key(server, secret, failure):
    server.failures[:] = [failure]
    secret = dict(secret)
    url = server.url.replace("http://", secret.pop("url", "http://"))
    client = JSONClient(url, attempts=1, **secret)
    refused = refusal(client)
    shown = "".join(traceback.format_exception(refused)) + repr(refused) + repr(client) + client.address
    assert "SEKRET" not in shown
    if "me:" in url:
        assert "bWU6U0VLUkVU" not in shown
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(client)


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": "SEKRET\nX: y"},
        {"api_key": "SEKRETü"},
        {"api_key": "SEKRET\x00"},
        {"headers": {"api-key": "SEKRET\r\n"}},
        {"headers": {"api key": "SEKRET"}},
        {"headers": {"ü": "SEKRET"}},
        {"headers": {"api-key": b"SEKRET"}},
        {"headers": {"": "SEKRET"}},
        {"api_key_variable": "sk-SEKRET"},
        {"api_key_variable": None},
    ],
    ids=str,
)
def test_what_http_cannot_send_is_refused_unseen(wrong):
    with pytest.raises(InvalidInputError, match="key") as refused:
        JSONClient("http://localhost/v1", **wrong)
    assert "SEKRET" not in "".join(traceback.format_exception(refused.value))


def test_short_dummies_do_not_blot_messages(server):
    server.failures[:] = [raw(400, "an axe is an axe")]
    assert "an axe is an axe" in str(refusal(JSONClient(server.url, api_key="x", headers={"n": "a"})))
