"""UECRetriever reconfigured, called back and traced by LangChain."""

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import ConfigurableField
from langchain_small import pairs, shown

from langchain_uec import UECRetriever
from uec_retriever import Engine, Location, Recipe
from uec_retriever.errors import InvalidInputError

QUERY = "what flow has the large wing"


@pytest.fixture
def retriever(engine):
    return UECRetriever(engine=engine)


@pytest.fixture
def openings(monkeypatch):
    """Locations of the indexes that are opened from now on."""
    seen = []
    real = Engine.open.__func__

    def spy(cls, path, **options):
        seen.append(path)
        return real(cls, path, **options)

    monkeypatch.setattr(Engine, "open", classmethod(spy))
    return seen


def test_configurable_fields_do_not_open_the_index_again(index, openings):
    retriever = UECRetriever(index=index, device="cpu")
    configurable = retriever.configurable_fields(k=ConfigurableField("k"), filter=ConfigurableField("filter"))
    config = {"configurable": {"k": 2, "filter": {"even": True}}}
    expected = shown(retriever.invoke(QUERY, k=2, filter={"even": True}))
    assert shown(configurable.invoke(QUERY, config)) == expected
    assert len(configurable.invoke(QUERY)) == 4
    assert shown(configurable.with_config(config).invoke(QUERY)) == expected
    assert openings == [Location(index)]
    with pytest.raises(InvalidInputError, match="k must be at least 1"):
        configurable.invoke(QUERY, {"configurable": {"k": 0}})


def test_a_configurable_index_is_another_index(index, models, tmp_path, openings):
    UECRetriever.from_texts(["the only wing"], models, tmp_path / "other", Recipe(pairs()), device="cpu")
    retriever = UECRetriever(index=index, device="cpu").configurable_fields(index=ConfigurableField("index"))
    found = retriever.invoke(QUERY, {"configurable": {"index": str(tmp_path / "other")}})
    assert [d.page_content for d in found] == ["the only wing"]
    assert len(retriever.invoke(QUERY)) == 4


def test_configurable_alternatives(engine):
    retriever = UECRetriever(engine=engine, k=1).configurable_alternatives(
        ConfigurableField("which"), default_key="one", many=UECRetriever(engine=engine, k=9)
    )
    assert len(retriever.invoke(QUERY)) == 1
    assert len(retriever.with_config(configurable={"which": "many"}).invoke(QUERY)) == 9


class Recorder(BaseCallbackHandler):
    def __init__(self):
        self.events = []

    def on_retriever_start(self, serialized, query, *, metadata=None, **kwargs):
        self.events.append(("start", query, metadata))

    def on_retriever_end(self, documents, **kwargs):
        self.events.append(("end", documents))

    def on_retriever_error(self, error, **kwargs):
        self.events.append(("error", error))


async def test_callbacks_are_called_once_and_told_what_is_traced(retriever):
    for call in ("invoke", "ainvoke"):
        recorder = Recorder()
        config = {"callbacks": [recorder], "metadata": {"mine": 1}}
        found = getattr(retriever, call)(QUERY, config, k=2)
        found = await found if call == "ainvoke" else found
        (start, query, metadata), end = recorder.events
        assert (start, query, end) == ("start", QUERY, ("end", found))
        traced = {key: metadata[key] for key in metadata if key.startswith("ls_")} | {
            "mine": metadata["mine"]
        }
        assert traced == {
            "mine": 1,
            "ls_retriever_name": "uec",
            "ls_vector_store_provider": "Chroma",
            "ls_embedding_provider": "uec",
            "ls_embedding_model": "first+second",
        }


def test_callbacks_hear_of_errors(retriever):
    recorder = Recorder()
    with pytest.raises(InvalidInputError):
        retriever.invoke(" ", {"callbacks": [recorder]})
    assert [event[0] for event in recorder.events] == ["start", "error"]
