"""A judge on an OpenAI-compatible server that returns log-probabilities of the prompt.

Two ways to ask are known: `prompt_logprobs`, vLLM's own parameter of `/v1/completions`, and `echo` with `logprobs`
and `max_tokens=0`, of OpenAI's first completions API, which vLLM and others still offer. Prompts are sent as token
ids, so labels are those of the same model loaded locally, and nothing has to be guessed from text.

Tested against a real HTTP server that implements both calls; vLLM itself was not run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from uec_retriever.data.provenance import digest
from uec_retriever.errors import InvalidInputError, JudgeError
from uec_retriever.json_client import JSONClient, RefusedError
from uec_retriever.utility_labeler.encoding import load_tokenizer, tokenizer_fingerprint
from uec_retriever.utility_labeler.judge import TokenSequence

Protocol = Literal["auto", "prompt_logprobs", "echo"]
_FALLBACK_CONTEXT = 2048


class ServerJudge:
    """A causal language model behind HTTP.

    Args:
        url: of the server, with the version, e.g. `http://localhost:8000/v1`.
        model: its name on the server.
        tokenizer: hub id or folder of the model's own tokenizer; `model` if None.
        gguf_file: file of the tokenizer in it, where it has one.
        context: tokens the model reads at once; what the server says, or 2048, if None.
        api_key_variable: environment variable that holds the key, if the server wants one. The key is never stored.
        protocol: how to ask; found out if `auto`.
        batch: prompts in one request, at least 1.
        attempts: of a request, at least 1; waits in between grow up to 20 seconds.
        timeout: seconds for one answer.
        trust_remote_code: run code that comes with the tokenizer. Off unless you say so.

    Raises:
        JudgeError: if the server cannot be reached, refuses, or gives no log-probabilities of prompts.
        ModelNotFoundError: if the tokenizer cannot be loaded.
        InvalidInputError: for a batch or number of attempts below 1, or an address that is none.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        tokenizer: str | None = None,
        gguf_file: str | None = None,
        context: int | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        protocol: Protocol = "auto",
        batch: int = 16,
        attempts: int = 5,
        timeout: float = 120.0,
        trust_remote_code: bool = False,
    ) -> None:
        if batch < 1 or attempts < 1:
            raise InvalidInputError("batch and attempts must be at least 1")
        self._client = JSONClient(url, api_key_variable=api_key_variable, attempts=attempts, timeout=timeout)
        self._model = model
        self._batch = batch
        try:
            self._tokenizer = load_tokenizer(tokenizer or model, gguf_file, trust_remote_code)
            self._protocol: Protocol = self._find_protocol() if protocol == "auto" else protocol
            self._context = context or self._served_context()
        except BaseException:
            self.close()
            raise

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def context(self) -> int:
        """Tokens the model can read at once."""
        return self._context

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model's name and its tokenizer; a server does not show its weights."""
        return digest(["server", self._model, tokenizer_fingerprint(self._tokenizer)])

    @property
    def description(self) -> dict[str, Any]:
        """Name, address without credentials, protocol."""
        return {
            "name": self._model,
            "server": f"{self._client.address}/",
            "protocol": self._protocol,
            "weights": "not verified: on a server",
        }

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def log_likelihoods(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """Log-likelihood of each answer, nats (see `Judge`).

        Raises:
            JudgeError: if the server fails for good, or answers with something else.
        """
        order = sorted(range(len(sequences)), key=lambda i: sequences[i].prompt)  # for its prefix cache
        values = [0.0] * len(sequences)
        for start in range(0, len(order), self._batch):
            batch = order[start : start + self._batch]
            found = self._ask([sequences[i] for i in batch], self._protocol)
            for position, value in zip(batch, found, strict=True):
                values[position] = value
        return values

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
        """Greedy continuations (see `Judge`)."""
        texts: list[str] = []
        for start in range(0, len(prompts), self._batch):
            batch = [list(p) for p in prompts[start : start + self._batch]]
            choices = self._complete(batch, {"max_tokens": max_new_tokens})
            texts += [str(choice.get("text", "")) for choice in choices]
        return texts

    def _ask(self, sequences: Sequence[TokenSequence], protocol: Protocol) -> list[float]:
        prompts = [[*s.prompt, *s.answer] for s in sequences]
        if protocol == "prompt_logprobs":
            # one token is made because some versions refuse none
            choices = self._complete(prompts, {"max_tokens": 1, "prompt_logprobs": 1})
            read = _from_prompt_logprobs
        else:
            choices = self._complete(prompts, {"max_tokens": 0, "echo": True, "logprobs": 1})
            read = _from_echo
        try:
            values = [
                math.fsum(read(choice, ids)[len(s.prompt) :])
                for choice, ids, s in zip(choices, prompts, sequences, strict=True)
            ]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise JudgeError(
                f"the server's answer has no log-probability for each token of the prompt ({error!r}): it must "
                "support 'prompt_logprobs' (vLLM) or 'echo' with 'logprobs' on /completions"
            ) from error
        if not all(math.isfinite(value) for value in values):
            raise JudgeError("the server gave a log-probability that is not finite")
        return values

    def _find_protocol(self) -> Protocol:
        ids = tuple(self._tokenizer("What is this text about?", add_special_tokens=False)["input_ids"])
        probe = [TokenSequence((ids * 2)[:2], (ids * 2)[2:4])]
        problems = []
        ways: tuple[Protocol, ...] = ("prompt_logprobs", "echo")
        for protocol in ways:
            try:
                self._ask(probe, protocol)
            except JudgeError as error:
                problems.append(f"{protocol}: {error}")
            else:
                return protocol
        raise JudgeError("; ".join(problems))

    def _served_context(self) -> int:
        """What the server says of the model, as vLLM does; else a cautious guess."""
        try:
            listed = self._request("GET", "models", None).get("data", [])
        except JudgeError:
            return _FALLBACK_CONTEXT
        for entry in listed:
            if entry.get("id") == self._model and isinstance(entry.get("max_model_len"), int):
                return int(entry["max_model_len"])
        return _FALLBACK_CONTEXT

    def _complete(self, prompts: list[list[int]], options: dict[str, Any]) -> list[dict[str, Any]]:
        body = {"model": self._model, "prompt": prompts, "temperature": 0, **options}
        choices = self._request("POST", "completions", body).get("choices")
        if not isinstance(choices, list) or len(choices) != len(prompts):
            raise JudgeError(f"the server gave no list of {len(prompts)} choices")
        return sorted(choices, key=lambda choice: choice.get("index", 0))

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            return self._client.request(method, path, body)
        except RefusedError as error:
            raise JudgeError(str(error)) from error


def _from_prompt_logprobs(choice: dict[str, Any], ids: list[int]) -> list[float]:
    """Of each token; the first has none and counts 0."""
    found = choice["prompt_logprobs"]
    if len(found) != len(ids):
        raise ValueError(f"{len(found)} log-probabilities for {len(ids)} tokens")
    return [0.0] + [float(entry[str(i)]["logprob"]) for i, entry in zip(ids[1:], found[1:], strict=True)]


def _from_echo(choice: dict[str, Any], ids: list[int]) -> list[float]:
    """Of each token; the first has none and counts 0. Servers that must make a token append it."""
    found = choice["logprobs"]["token_logprobs"]
    if not len(ids) <= len(found) <= len(ids) + 1:
        raise ValueError(f"{len(found)} log-probabilities for {len(ids)} tokens")
    return [0.0] + [float(value) for value in found[1 : len(ids)]]
