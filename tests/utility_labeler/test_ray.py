"""The Ray Data job on a local Ray with two workers; skipped with a reason where Ray is absent."""

import os
import signal

import pytest

from tests.local_ray import OF_RAY, local_ray, workers
from tests.utility_labeler.labelling_fakes import GatedSpec, pairs
from uec_retriever.errors import InvalidInputError, ModelMismatchError
from uec_retriever.utility_labeler.judge_spec import JudgeSpec
from uec_retriever.utility_labeler.labels import read_labels
from uec_retriever.utility_labeler.prompts import default_prompts
from uec_retriever.utility_labeler.run import label_utilities
from uec_retriever.utility_labeler.utility import LabelOptions

pytestmark = OF_RAY


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def engine(llama, gate):
    from uec_retriever.utility_labeler.ray_engine import RayEngine

    with local_ray():
        yield RayEngine(GatedSpec(str(llama), None, {"device": "cpu"}, str(gate)), workers=2)


def test_labels_equal_local_ones_and_a_killed_worker_is_survived(engine, gate, judge, tmp_path):
    made = pairs(12, passages=14)
    label_utilities(judge, made, tmp_path / "local.jsonl")
    expected = {label.key: label.utility for label in read_labels(tmp_path / "local.jsonl")}
    killed, after = [], []

    def kill_once(number):
        """When the first chunk is done, and the gate keeps the others from being."""
        if killed:
            after.append(number)
            return
        killed.append(workers()[0])
        os.kill(killed[0], signal.SIGKILL)
        gate.touch()

    out = tmp_path / "ray.jsonl"
    report = label_utilities(judge, made, out, chunk=12, progress=kill_once, execute=engine)
    found = {label.key: label.utility for label in read_labels(out)}
    assert killed[0] not in workers()
    assert len(after) == 13  # the kill fell in the middle of the job
    assert report.labelled == len(expected) == len(found)
    assert found == pytest.approx(expected, abs=2e-5)


def test_another_model_on_a_worker_is_refused(llama):
    from uec_retriever.utility_labeler.ray_engine import _Worker

    with pytest.raises(ModelMismatchError, match="a worker loaded another model"):
        _Worker(
            JudgeSpec(str(llama), None, {"device": "cpu"}),
            default_prompts(chat=False),
            LabelOptions(),
            "other",
        )


def test_no_workers():
    from uec_retriever.utility_labeler.ray_engine import RayEngine

    with pytest.raises(InvalidInputError, match="at least 1"):
        RayEngine(JudgeSpec("x"), workers=0)
