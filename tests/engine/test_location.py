"""Where an index is, in pydantic models too; and engines that are open already."""

import copy
import pickle
import traceback
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from tests.engine.small import pairs
from uec_retriever import Engine, Location, Recipe
from uec_retriever.engine.choice import choose_engine
from uec_retriever.errors import InvalidInputError

SECRET = "hunter2-is-my-password"
HEADERS = {"plain": SECRET, "secret": SecretStr(SECRET)}


class Model(BaseModel):
    """One of a framework."""

    place: str | Path | Location | None = None


def test_a_location_in_a_pydantic_model_shows_no_secret(tmp_path):
    location = Location(tmp_path, "http://localhost:8000", HEADERS, collection="mine")
    model = Model(place=location)
    assert model.place is location
    written = model.model_dump_json()
    for text in (written, repr(model), str(model.model_dump()), repr(location), str(location)):
        assert SECRET not in text
        assert "localhost" in text
    restored = Model.model_validate_json(written)
    assert restored.place == Location(tmp_path, "http://localhost:8000", collection="mine")
    assert Model(**model.model_dump()) == restored
    pickled = pickle.dumps(model)
    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled).place == restored.place
    assert copy.deepcopy(model).place.plain_headers == {"plain": SECRET, "secret": SECRET}


def test_what_is_no_location_is_refused(tmp_path):
    assert Model(place=str(tmp_path)).place == str(tmp_path)
    assert Model(place=tmp_path).place == tmp_path
    for wrong in ({"headers": {}}, {"path": 3}, {"url": f"http://me:{SECRET}@localhost"}):
        with pytest.raises(ValidationError):
            Model(place=wrong)
    with pytest.raises(ValidationError):
        TypeAdapter(Location).validate_python(str(tmp_path))
    assert set(TypeAdapter(Location).json_schema()["properties"]) == {
        "path", "url", "collection", "tenant", "database",
    }  # fmt: skip


def test_to_dict_and_back(tmp_path):
    location = Location(tmp_path, collection="mine")
    assert location.to_dict() == {"path": str(tmp_path), "url": None, "collection": "mine"}
    assert Location.of(location.to_dict()) == location == Location.of(location)
    assert Location().to_dict()["path"] is None


def test_tenant_and_database_go_along(tmp_path):
    location = Location(tmp_path, "http://localhost:8000", tenant="acme", database="docs-1")
    written = Model(place=location).model_dump_json()
    assert Model.model_validate_json(written).place == location == pickle.loads(pickle.dumps(location))
    assert location != Location(tmp_path, "http://localhost:8000") and location.parts == {
        "tenant": "acme", "database": "docs-1",
    }  # fmt: skip
    assert str(location) == "http://localhost:8000, tenant acme, database docs-1"


@pytest.mark.parametrize("part", ["tenant", "database"])
def test_tenants_and_databases_are_names_on_a_server(part):
    for url, name, said in (
        (None, "a", "of a Chroma server"),
        ("http://h", "a/b", "a name"),
        ("http://h", 3, "a name"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            Location("i", url, **{part: name})


def test_headers_are_a_dictionary():
    with pytest.raises(InvalidInputError, match="got str") as error:
        Location(headers=f"Authorization: {SECRET}")
    assert SECRET not in str(error.value)


@pytest.fixture(scope="module")
def index(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chosen") / "index"
    Engine.from_texts(["the wing"], [models["static"]], folder, Recipe(pairs()), device="cpu").close()
    return folder


def test_an_engine_or_an_index(index):
    opened = choose_engine(None, index, experts=None, device="cpu")
    assert opened.count() == 1
    assert choose_engine(None, Location(index), device="cpu").count() == 1
    assert choose_engine(opened, None, device=None) is opened


def test_one_of_them_and_nothing_to_open_for_an_engine(index):
    engine = Engine.open(index, device="cpu")
    for given in ((None, None), (engine, index)):
        with pytest.raises(InvalidInputError, match="one of them"):
            choose_engine(*given)
    with pytest.raises(InvalidInputError, match="engine is a str"):
        choose_engine("index", None)
    with pytest.raises(InvalidInputError, match="leave out experts and device"):
        choose_engine(engine, None, experts={}, device="cpu")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Bearer SEKRET\n", "line break"),
        ("SEKR\u00c9T", "HTTP cannot carry"),
        (b"SEKRET", "bytes"),
        (None, "NoneType"),
    ],
)
def test_headers_that_http_cannot_carry_are_refused_unseen(value, message):
    with pytest.raises(InvalidInputError, match=message) as refusal:
        Location("idx", url="http://localhost:8000", headers={"Authorization": value})
    assert "SEKR" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://localhost",
        "http://localhost:99999",
        "http://localhost:8000/api",
    ],
)
def test_urls_of_no_chroma_server_are_refused(url):
    with pytest.raises(InvalidInputError, match="Chroma server"):
        Location("idx", url=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost?token=SEKR",
        "http://localhost:8000/?SEKR",
        "http://localhost#SEKR",
        "http://localhost:8000/SEKR/api",
        "http://me:SEKR@localhost:8000",
        "http:/me:SEKR@localhost:8000",
        "me:SEKR@localhost",
        "me:SEKR",
        "http://me:SEKR",
        "http://[me:SEKR@localhost",
        "http://[SEKR",
        "http://me:SEKR@ho\u2105st",
        "http://SEKR\u2105st",
        "SEKR://localhost",
    ],
)
def test_a_url_with_a_secret_is_refused_unseen(url):
    with pytest.raises(InvalidInputError, match="Chroma server|credentials") as refusal:
        Location("idx", url=url)
    assert "SEKR" not in "".join(traceback.format_exception(refusal.value))


def test_a_header_with_a_bad_name_is_refused_unseen():
    with pytest.raises(InvalidInputError, match="header's name") as refusal:
        Location("idx", url="http://localhost:8000", headers={"Bearer SEKR": "x"})
    assert "SEKR" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["localhost", "localhost:8000", "http://localhost:8000/", "https://chroma.example"]
)
def test_urls_of_chroma_servers(url):
    assert Location("idx", url=url).url == url


@pytest.mark.parametrize("place", [5, ["idx"], b"idx"])
def test_what_is_no_place(place):
    with pytest.raises(InvalidInputError, match="an index is in a folder"):
        Location.of(place)
