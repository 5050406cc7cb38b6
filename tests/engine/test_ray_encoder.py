"""Encoding on a local Ray with two workers; skipped with a reason where Ray is absent."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.engine.small import WORDS, contents, equal, load, numbered, pairs, static_model
from tests.local_ray import OF_RAY, local_ray, workers
from uec_retriever.data.records import Record
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.results import AddReport
from uec_retriever.errors import InvalidInputError, ModelMismatchError, NumericalError
from uec_retriever.experts.expert import Expert

pytestmark = OF_RAY
SIZE = 16


@pytest.fixture(scope="module")
def address():
    with local_ray() as address:
        yield address


@pytest.fixture
def on_ray(address):
    from uec_retriever.engine.ray_encoder import RayEncoder

    return RayEncoder(workers=1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("uec_retriever.engine.add.CHUNK", SIZE)


def test_the_index_is_the_same_and_a_killed_worker_is_survived(make, models, tmp_path, address):
    from tests.engine.ray_small import GatedExpert
    from uec_retriever.engine.ray_encoder import RayEncoder

    folder = shutil.copytree(models["bert"], tmp_path / "gated")
    experts = [*load({"static": models["static"]}), GatedExpert.load(str(folder), label="bert", device="cpu")]
    engine, plain = Engine.create(tmp_path / "gated-index", experts, pairs()), make("static", "bert")
    long = [Record(f"long{i}", " ".join(WORDS * 2), {}) for i in range(2)]
    records = [*numbered(7 * SIZE), *long, *numbered(5)]
    (folder / "closed").touch()
    told, killed = [], []

    def kill_once(done):
        told.append(done)
        while done and not killed:  # the first chunk is done: wait until a worker has the next one
            killed.extend(int(f.name.removeprefix("waiting-")) for f in folder.glob("waiting-*"))
            if killed:
                os.kill(killed[0], signal.SIGKILL)
                (folder / "closed").unlink()
            time.sleep(0.01)

    report = engine.add_records(records, progress=kill_once, execute=RayEncoder(workers=2))
    assert killed[0] not in workers()
    assert report == plain.add_records(records)
    assert report.truncated == {"bert": 2} and report.truncated_ids == ("long0", "long1")
    assert sum(told) == len(records)
    equal(engine, plain)


def test_a_killed_run_goes_on(make, tmp_path, address, on_ray):
    make("static").close()
    count = 6 * SIZE + 3
    process = subprocess.run(
        [sys.executable, "-m", "tests.engine.ray_small", str(tmp_path / "index"), str(SIZE), str(count), "2"],
        env={**os.environ, "RAY_ADDRESS": address}, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    engine, plain = Engine.open(tmp_path / "index", device="cpu"), make("static", folder="plain")
    assert set(contents(engine)) == {r.id for r in numbered(2 * SIZE)}
    report = engine.add_records(numbered(count), execute=on_ray)
    assert report == AddReport(added=count - 2 * SIZE, unchanged=2 * SIZE)
    plain.add_records(numbered(count))
    equal(engine, plain)


def test_an_interrupted_run_leaves_whole_chunks_and_no_writer(make, on_ray):
    engine, told = make("static"), []

    def interrupt(done):
        told.extend([done] if done else [])
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.add_records(numbered(20 * SIZE), progress=interrupt, execute=on_ray)
    assert set(contents(engine)) == {r.id for r in numbered(2 * SIZE)}
    assert engine.add_records(numbered(3 * SIZE)).added == SIZE


def test_another_model_on_a_worker_is_refused(tmp_path, on_ray):
    folder = static_model(tmp_path / "model", 0)
    engine = Engine.create(tmp_path / "index", load({"static": folder}), pairs())
    static_model(tmp_path / "model", 1)
    with pytest.raises(ModelMismatchError, match="pickled with another model"):
        engine.add_records(numbered(5), execute=on_ray)
    assert engine.count() == 0


def test_a_model_that_fails_on_a_text(tmp_path, on_ray):
    (expert,) = load({"static": static_model(tmp_path / "good", 0)})
    expert.model[0].embedding.weight.data[expert.model.tokenizer.encode("cat").ids[0]] = 0
    expert.model.save(str(tmp_path / "bad"))
    engine = Engine.create(tmp_path / "index", load({"static": str(tmp_path / "bad")}), pairs())
    records = [*numbered(SIZE + 3), Record("poison", "cat", {}), *numbered(3 * SIZE, 100)]
    with pytest.raises(NumericalError, match="record 'poison'.*static.*zero"):
        engine.add_records(records, execute=on_ray)
    assert set(contents(engine)) == {r.id for r in numbered(SIZE)}


def test_a_model_in_memory_cannot_travel(tmp_path, models, on_ray):
    (expert,) = load({"static": models["static"]})
    engine = Engine.create(tmp_path / "index", [Expert(expert.model, "memory")], pairs())
    with pytest.raises(InvalidInputError, match="save a model to a folder"):
        engine.add_records(numbered(5), execute=on_ray)


def test_from_texts_and_copies(tmp_path, models, on_ray):
    texts = [r.text for r in numbered(3 * SIZE)]
    engine = Engine.from_texts(texts, [models["static"]], tmp_path / "one", pairs(), execute=on_ray)
    target = Engine.create(tmp_path / "two", load({"other": models["other"]}), pairs())
    assert engine.copy_to(target, execute=on_ray).added == len(texts)
    plain = Engine.from_texts(texts, [models["other"]], tmp_path / "plain", pairs())
    equal(target, plain)


def test_without_ray(monkeypatch):
    from uec_retriever.errors import MissingExtraError

    for name in [
        n for n in sys.modules if n.startswith(("uec_retriever.ray_pool", "uec_retriever.engine.ray_"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "uec-retriever\[ray\]"'):
        import uec_retriever.engine.ray_encoder  # noqa: F401
