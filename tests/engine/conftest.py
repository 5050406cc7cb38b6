import functools
import multiprocessing
import shutil
from multiprocessing import forkserver

import pytest
import torch
from chromadb.api.client import SharedSystemClient

from devtools.chroma import running_chroma
from tests.engine.small import bert_model, load, pairs, static_model
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.laplace.files import save_posterior


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny matrices gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Label -> model folder: two of equal dimension, one of another."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "static": static_model(folder / "static", 0),
        "other": static_model(folder / "other", 1),
        "bert": bert_model(folder / "bert", folder / "workspace"),
    }


@pytest.fixture(scope="session")
def loaded(models):
    return {expert.label: expert for expert in load(models)}


@pytest.fixture
def experts(loaded):
    """`experts("static", "bert")`: experts without posteriors, their (unchanging) models shared."""
    return lambda *labels: [loaded[label] for label in labels]


@pytest.fixture(scope="session")
def fitted(loaded, tmp_path_factory):
    """Label -> posterior file."""
    folder = tmp_path_factory.mktemp("posteriors")
    for label, expert in loaded.items():
        fit = fit_posterior(expert, pairs())
        save_posterior(folder / label, fit.posterior, fit.header)
    return {label: folder / label for label in loaded}


@pytest.fixture(scope="session")
def made_empty(loaded, tmp_path_factory):
    """`made_empty("static", "bert")`: folder of an empty index, made once: copy it."""

    @functools.cache
    def made(*labels):
        folder = tmp_path_factory.mktemp("made-empty") / "index"
        Engine.create(folder, [loaded[label] for label in labels], Recipe(pairs())).close()
        return folder

    return made


@pytest.fixture
def create(tmp_path, experts):
    """`create("static", "bert", folder="name", **options)`: an empty index, made by `Engine.create`."""

    def new(*labels, folder="index", calibration=None, **options):
        place = {name: options.pop(name) for name in ("url", "client", "collection") if name in options}
        return Engine.create(
            Location(tmp_path / folder, **place),
            experts(*(labels or ("static", "bert"))),
            Recipe(calibration or pairs(), **options),
        )

    return new


@pytest.fixture
def make(tmp_path, experts, made_empty, create):
    """As `create`; where there are neither options nor a folder yet, a copy of one that it has made, opened."""

    def copied(*labels, folder="index", **options):
        if options or (tmp_path / folder).exists():
            return create(*labels, folder=folder, **options)
        labels = labels or ("static", "bert")
        shutil.copytree(made_empty(*labels), tmp_path / folder)
        return Engine.open(tmp_path / folder, experts=dict(zip(labels, experts(*labels), strict=True)))

    return copied


@pytest.fixture
def reopen():
    """`reopen(folder)`: open an index with nothing left in memory: models and database from disk."""

    def open_anew(folder, **place):
        SharedSystemClient.clear_system_cache()
        return Engine.open(Location(folder, **place), device="cpu")

    return open_anew


@pytest.fixture
def encoded(monkeypatch):
    """`encoded(engine)`: a list that gets every text that an expert of the engine encodes from now on."""

    def spy(engine):
        texts = []
        for expert in engine.experts:
            real = expert.encode

            def encode(batch, *args, _real=real, **options):
                texts.extend(batch)
                return _real(batch, *args, **options)

            monkeypatch.setattr(expert, "encode", encode)
        return texts

    return spy


@pytest.fixture(scope="session")
def processes():
    """Context of processes that start fast, because a clean one has imported the libraries for all."""
    return multiprocessing.get_context("forkserver")


@pytest.fixture(scope="session", autouse=True)
def import_ahead(request):
    """The clean process for `processes` takes ten seconds to import: let it do so behind the first tests."""
    if any("processes" in item.fixturenames for item in request.session.items):
        multiprocessing.set_forkserver_preload(["uec_retriever.engine.engine"])
        forkserver.ensure_running()


@pytest.fixture(autouse=True)
def closed_sockets(sockets_are_closed):
    """Every test of the engine closes what it opens to a server."""


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Address of a Chroma server for the whole session: use your own collection name."""
    with running_chroma(tmp_path_factory.mktemp("server") / "chroma") as running:
        yield running.url
