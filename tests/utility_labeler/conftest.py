"""Tiny judges; the oracle: a plain loop over full logits."""

import pytest
import torch

from devtools.models import SMOLLM2, real_llm
from devtools.tiny_llm import tiny_llm
from uec_retriever.utility_labeler.local import LocalJudge


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny matrices only lose by threads, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return tiny_llm(tmp_path_factory.mktemp("llms") / "llama")


@pytest.fixture(scope="session")
def chat_llama(tmp_path_factory):
    return tiny_llm(tmp_path_factory.mktemp("llms") / "chat", seed=1, chat=True)


@pytest.fixture(scope="session")
def judge(llama):
    return LocalJudge.load(str(llama), device="cpu")


@pytest.fixture(scope="session")
def chat_judge(chat_llama):
    return LocalJudge.load(str(chat_llama), device="cpu")


@pytest.fixture(scope="session")
def plain_loop():
    """`plain_loop(judge, sequence)`: one forward pass, all logits, log-softmax, a loop over the answer."""

    @torch.inference_mode()
    def score(judge, sequence):
        ids = [*sequence.prompt, *sequence.answer]
        log_probabilities = judge.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        first = len(sequence.prompt)
        return sum(log_probabilities[i - 1, ids[i]].item() for i in range(first, len(ids)))

    return score


@pytest.fixture(scope="session")
def smollm2():
    """GGUF file."""
    try:
        return real_llm(SMOLLM2)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
