"""Labels from a real HTTP server equal those of the same model loaded here."""

import json
import traceback
from types import SimpleNamespace

import pytest
import tenacity

from devtools.proxy import authenticating_proxy
from tests.utility_labeler.labelling_fakes import pairs
from tests.utility_labeler.log_probability_server import LogProbabilityServer
from uec_retriever.errors import InvalidInputError, JudgeError, ModelNotFoundError
from uec_retriever.utility_labeler.files import manifest_path
from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.judge_spec import JudgeSpec
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.run import label_utilities
from uec_retriever.utility_labeler.server import ServerJudge


@pytest.fixture
def serve(judge, monkeypatch):
    servers = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)

    def start(**options):
        servers.append(LogProbabilityServer(judge, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def connect(llama):
    judges = []

    def go(server, **options):
        judges.append(ServerJudge(server.url, "tiny", tokenizer=str(llama), **options))
        return judges[-1]

    yield go
    for judge in judges:
        judge.close()


@pytest.mark.parametrize("protocols", [("prompt_logprobs",), ("echo",)])
def test_labels_equal_local_ones(serve, connect, judge, protocols):
    remote = connect(serve(protocols=protocols), batch=5)
    assert remote.description["protocol"] == protocols[0]
    assert remote.context == 123
    made = pairs(4, answers=2)
    ours, theirs = (Labeler(j).label(made) for j in (judge, remote))
    assert [x.utility for x in theirs] == pytest.approx([x.utility for x in ours], abs=2e-5)
    assert [x.answer for x in theirs] == [x.answer for x in ours]


def test_by_a_spec(serve, llama):
    judge = JudgeSpec("tiny", serve().url, {"tokenizer": str(llama), "context": 50}).load()
    assert judge.context == 50
    judge.close()


def test_passing_failures_are_retried(serve, connect):
    server = serve()
    judge = connect(server)
    server.failures[:] = [503, 429, 500]
    assert judge.log_likelihoods([TokenSequence((2, 5), (6, 7))])[0] < 0
    server.failures[:] = [503] * 9
    with pytest.raises(JudgeError, match="503.*tried 5 times"):
        judge.log_likelihoods([TokenSequence((2, 5), (6, 7))])


def test_refusals_are_not_retried(serve, connect):
    server = serve()
    judge = connect(server)
    server.failures[:] = [400] * 3
    with pytest.raises(JudgeError, match="refused with 400"):
        judge.log_likelihoods([TokenSequence((2, 5), (6, 7))])
    assert len(server.failures) == 2


def test_the_key_comes_from_the_environment_and_stays_out_of_files(serve, connect, monkeypatch, tmp_path):
    server = serve(key="s3cret")
    with pytest.raises(JudgeError, match="401.*OTHER_KEY"):
        connect(server, api_key_variable="OTHER_KEY")
    monkeypatch.setenv("OTHER_KEY", "s3cret")
    judge = connect(server, api_key_variable="OTHER_KEY")
    out = tmp_path / "labels.jsonl"
    label_utilities(judge, pairs(2), out)
    assert "s3cret" not in out.read_text() + manifest_path(out).read_text()
    assert json.loads(manifest_path(out).read_text())["judge"]["weights"].startswith("not verified")


def test_credentials_in_the_address_stay_out_of_the_manifest(serve, llama):
    server = serve()
    url = server.url.replace("http://", "http://user:s3cret@")
    judge = ServerJudge(url, "tiny", tokenizer=str(llama))
    assert "s3cret" not in json.dumps(judge.description) and "user" not in json.dumps(judge.description)
    judge.close()


@pytest.mark.parametrize(
    "url",
    [
        "SEKR",
        "me:SEKR@localhost",
        "http://me:SEKR",
        "http://me:SE/KR@localhost",
        "http://localhost/v1?token=SEKR",
        "http://localhost/v1#SEKR",
        "SEKR://localhost",
        "http://[SEKR",
        "http://me:SEKR@",
    ],
)
def test_a_wrong_address_is_refused_unseen(llama, url):
    with pytest.raises(InvalidInputError, match="address") as refusal:
        ServerJudge(url, "tiny", tokenizer=str(llama))
    assert "SEKR" not in "".join(traceback.format_exception(refusal.value))
    assert "SEKR" not in repr(JudgeSpec("tiny", url))


@pytest.mark.parametrize("status", [401, 400])
def test_what_a_server_repeats_of_the_key_is_not_shown(connect, monkeypatch, status):
    monkeypatch.setenv("OPENAI_API_KEY", "SEKR")
    with (
        authenticating_proxy("http://unused", "Authorization", "another", status) as url,
        pytest.raises(JudgeError, match=rf"{status}.*refused: Bearer \.\.\.") as refusal,
    ):
        connect(SimpleNamespace(url=url))
    assert "SEKR" not in str(refusal.value)


@pytest.mark.parametrize("broken", ["short", "nan"])
def test_answers_that_are_none(serve, connect, broken):
    with pytest.raises(JudgeError, match="log-probability for each token"):
        connect(serve(broken=broken))


def test_a_server_without_log_probabilities(serve, connect):
    with pytest.raises(JudgeError, match="prompt_logprobs.*echo"):
        connect(serve(protocols=()))


def test_nobody_there_and_wrong_addresses(serve, connect, llama):
    server = serve()
    server.shutdown()
    server.server_close()
    with pytest.raises(JudgeError, match="cannot reach the server 127.0.0.1"):
        connect(server, attempts=1)
    with pytest.raises(InvalidInputError, match="http"):
        ServerJudge("localhost:8000", "tiny", tokenizer=str(llama))
    with pytest.raises(InvalidInputError, match="at least 1"):
        ServerJudge("http://localhost", "tiny", batch=0)
    with pytest.raises(ModelNotFoundError, match="--tokenizer"):
        ServerJudge("http://localhost", "nobody/nothing")


def test_generation(serve, connect, judge):
    prompts = [(2, 7, 8), (2, 9, 10)]
    assert connect(serve()).generate(prompts, 5) == judge.generate(prompts, 5)
