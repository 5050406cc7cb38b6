"""Every command against a Chroma server behind a proxy that demands a token."""

import json

import pytest

from devtools.chroma import running_chroma
from devtools.proxy import authenticating_proxy
from tests.cli.conftest import make_index, refused
from tests.conftest import closing_sockets

TOKEN = "Bearer SEKR"


pytestmark = pytest.mark.usefixtures("sockets_are_closed")


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("served") / "chroma") as server:
        yield server


@pytest.fixture(params=[401, 403])
def proxy(chroma, request):
    with authenticating_proxy(chroma.url, "Authorization", TOKEN, request.param) as url:
        yield url


def serve_index(folder, chroma, models, collection):
    """Arguments that name an index on the server, which was made with a token."""
    place = ("--collection", collection)
    with authenticating_proxy(chroma.url, "Authorization", TOKEN) as url:
        make_index(
            folder, *place, "--server", url, "--header", f"authorization:{TOKEN}", "--expert", models["bert"]
        )
    return ("--index", folder / "idx", *place)


@pytest.fixture
def served(chroma, models, tmp_path):
    return serve_index(tmp_path, chroma, models, tmp_path.name)


@pytest.fixture(scope="module")
def unchanged(chroma, models, tmp_path_factory):
    """As `served`, for tests that change nothing, or try to in vain."""
    with closing_sockets():
        return serve_index(tmp_path_factory.mktemp("unchanged"), chroma, models, "unchanged")


def test_with_the_token(uec, served, proxy, corpus, monkeypatch):
    given = (*served, "--server", proxy, "--header", f"Authorization: {TOKEN}")
    assert "10 added" in uec("index", *given, "--corpus", corpus(70)).out
    assert len(json.loads(uec("search", *given, "--json", "wing").out)["hits"]) == 10
    assert "2 deleted; 68 texts" in uec("delete", *given, "--id", "d1", "--id", "d2").out
    assert "prior trust" in uec("recalibrate", *given).out
    assert "no longer an expert" in uec("words", *given, "--off").out
    assert "the words of 68 texts were indexed" in " ".join(uec("words", *given).out.split())
    monkeypatch.setenv("UEC_HEADERS", f"X-Other: 1\nAuthorization: {TOKEN}\n")
    told = uec("info", *served, "--server", proxy)
    assert "68 texts" in told.out and "SEKR" not in told.out + told.err


@pytest.mark.parametrize("header", [None, "Authorization: Bearer SEKRIT", "X-Chroma-Token: SEKRIT"])
def test_without_it_every_command_says_so(uec, unchanged, proxy, corpus, tmp_path, header):
    given = (*unchanged, "--server", proxy, *(("--header", header) if header else ()))
    commands = (
        ("index", "--corpus", corpus(60)), ("search", "wing"), ("info",), ("words",), ("delete", "--id", "d1"),
        ("recalibrate",), ("calibrate-confidence",), ("reindex", "--to", tmp_path / "new"),
    )  # fmt: skip
    for command in commands:
        outcome = uec(command[0], *given, *command[1:])
        refused(outcome, "the token is missing or wrong", "UEC_HEADERS", "--header")
        assert "SEKR" not in outcome.err + outcome.out and "is 'chroma run' up?" not in outcome.err


def test_the_option_comes_before_the_environment(uec, unchanged, proxy, monkeypatch):
    monkeypatch.setenv("UEC_HEADERS", "AUTHORIZATION: wrong")
    assert uec("info", *unchanged, "--server", proxy, "--header", f"Authorization: {TOKEN}").code == 0


def test_a_token_taken_back_while_the_index_is_open(unchanged, chroma):
    from uec_retriever.engine.location import Location
    from uec_retriever.engine.open import open_store
    from uec_retriever.errors import StorageError

    with authenticating_proxy(chroma.url, "Authorization", TOKEN) as url:
        store = open_store(Location(unchanged[1], url, {"Authorization": TOKEN}, collection=unchanged[3]))[1]
        store.client._server._session.headers["Authorization"] = "SEKRIT"
        with pytest.raises(StorageError, match="did not let us count") as refusal:
            store.count()
    assert "SEKR" not in str(refusal.value) and refusal.value.__suppress_context__


def test_another_status_is_ours_too(chroma, tmp_path):
    from uec_retriever.errors import StorageError
    from uec_retriever.store.connection import connect

    with (
        authenticating_proxy(chroma.url, "Authorization", TOKEN, 502) as url,
        pytest.raises(StorageError, match="cannot reach|answered 502"),
    ):
        connect(url=url)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--server", "http://me:SEKR@localhost:8000"], "--header"),
        (["--server", "http://localhost:8000?token=SEKR"], "--header"),
        (["--server", "http://localhost:8000", "--header", "Bearer SEKR"], "say 'Name: value'"),
        (["--server", "http://localhost:8000", "--header", "SE KR: x"], "header's name"),
        (["--server", "http://localhost:8000", "--header", "Authorization: SEKR\n\x01"], "HTTP cannot carry"),
        (["--header", "Authorization: SEKR"], "--header goes with --server"),
    ],
)
def test_wrong_addresses_and_headers_are_refused_unseen(uec, tmp_path, arguments, words):
    for command in (("info",), ("search", "wing"), ("delete", "--id", "x"), ("recalibrate",)):
        outcome = uec(command[0], "--index", tmp_path / "i", *arguments, *command[1:])
        refused(outcome, words, code=2)
        assert "SEKR" not in outcome.err and "SE KR" not in outcome.err
