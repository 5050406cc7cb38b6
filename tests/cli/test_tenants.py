"""Indexes in tenants and databases of one Chroma server."""

import json
from urllib.parse import urlsplit

import chromadb
import pytest
from chromadb.config import Settings

from devtools.chroma import running_chroma
from tests.cli.conftest import WORDS, make_index, refused

pytestmark = pytest.mark.usefixtures("sockets_are_closed")
PLACES = {
    "acme": ("--tenant", "acme", "--database", "docs"),
    "bolt": ("--tenant", "bolt", "--database", "docs"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server with two tenants, each with a database of the same name."""
    with running_chroma(tmp_path_factory.mktemp("tenants") / "chroma") as chroma:
        place = urlsplit(chroma.url)
        settings = Settings(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=place.hostname,
            chroma_server_http_port=place.port,
        )
        admin = chromadb.AdminClient(settings)
        for tenant in PLACES:
            admin.create_tenant(tenant)
            admin.create_database("docs", tenant)
        yield chroma.url
        admin._server._session.close()


def test_the_same_collection_in_two_tenants(uec, server, models, tmp_path):
    given = {}
    for tenant, place in PLACES.items():
        given[tenant] = ("--index", tmp_path / tenant / "idx", "--server", server, *place)
        (tmp_path / tenant).mkdir()
        make_index(tmp_path / tenant, "--expert", models["bert"], "--server", server, *place)
    assert "2 deleted; 58 texts" in uec("delete", *given["acme"], "--id", "d1", "--id", "d2").out
    counts = {t: json.loads(uec("info", *given[t], "--json").out)["count"] for t in PLACES}
    assert counts == {"acme": 58, "bolt": 60}
    found = {
        t: {h["id"] for h in json.loads(uec("search", *given[t], "-k", "60", "--json", "wing").out)["hits"]}
        for t in PLACES
    }
    assert found["bolt"] - found["acme"] == {"d1", "d2"} and len(found["bolt"]) == 60
    assert "58 texts, all of them found" in uec("check", *given["acme"]).out
    refused(uec("info", *given["acme"][:4]), "there is no collection 'uec'")  # in the default tenant


def test_an_engine_that_travels_stays_with_its_tenant(server, models, tmp_path):
    import pickle

    from uec_retriever import Engine, Location
    from uec_retriever.errors import NotAnIndexError

    place = Location(tmp_path / "idx", server, collection="travels", tenant="acme", database="docs")
    texts = [
        f"the {WORDS[i % 14]} of {WORDS[3 * i % 14]}. what is {WORDS[i * i % 14]} {i}" for i in range(40)
    ]
    engine = Engine.from_texts(texts, [models["bert"]], place, device="cpu")
    assert pickle.loads(pickle.dumps(engine)).count() == 40
    with pytest.raises(NotAnIndexError, match="here: make it .* or give the right one .*--tenant"):
        Engine.open(Location(tmp_path / "idx", server, collection="travels", tenant="bolt", database="docs"))
    engine.close()


@pytest.mark.parametrize("wrong", [("--tenant", "nobody"), ("--database", "nothing")])
def test_one_that_is_not_there_is_told(uec, server, tmp_path, wrong):
    for command in (("info",), ("search", "wing"), ("index", "--corpus", tmp_path)):
        if command[0] == "index":
            (tmp_path / "a.txt").write_text("a text")
        given = ("--index", tmp_path / "idx", "--server", server, *wrong)
        refused(uec(command[0], *given, *command[1:]), "no such tenant or database", "chromadb.AdminClient")


@pytest.mark.parametrize("option", ["--tenant", "--database"])
@pytest.mark.parametrize(
    ("given", "said"),
    [((), "goes with --server"), (("--server", "http://localhost:9"), "is a name of letters")],
)
def test_what_cannot_be_one_is_wrong_usage(uec, tmp_path, option, given, said):
    refused(uec("info", "--index", tmp_path, *given, option, "a/../b"), said, code=2)
