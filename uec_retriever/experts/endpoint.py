"""EndpointEmbedding: models behind an OpenAI-compatible `/v1/embeddings` (vLLM, TEI, llama.cpp, Ollama, LM Studio, vendors)."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

import numpy as np

from uec_retriever.checks.numbers import ABOVE_0, FINITE, check_number, check_whole
from uec_retriever.data.texts import surrogate_at
from uec_retriever.errors import EmbeddingError, InvalidInputError, show
from uec_retriever.experts.head import Role
from uec_retriever.experts.text_embedding import Batch, TextEmbedding
from uec_retriever.gaussian import Array
from uec_retriever.json_client import JSONClient, RefusedError

_DEFAULT_URL = "https://api.openai.com/v1"
_Outcome = tuple[list[Batch], EmbeddingError | None]  # what was embedded, and what went wrong then
_TOO_MUCH = (400, 413, 422)  # a text is too long, or a batch too large: parts tell which
_ADDRESS = re.compile(r"@[\w.-]+:\d+(/|$)|@localhost(/|$)|@[\w.-]+/(\w+/)*v\d+/?$")  # without http://
_HARMLESS = "a"  # a text that no server can find too long


class EndpointEmbedding(TextEmbedding):
    """A model on a server; safe under threads.

    A batch that the server finds too large is sent in halves, and later ones are no larger.

    Args:
        model: its name on the server.
        base_url: of the server, with the version, e.g. `http://localhost:8000/v1`; what `OPENAI_BASE_URL` says, or
            OpenAI's own, if None.
        api_key: kept in memory alone; what the environment variable holds if None.
        api_key_variable: environment variable that holds the key.
        headers: sent with each request; kept in memory alone.
        dimensions: of the embeddings, where the model lets one choose.
        prompts: role (`query`, `document`) -> what goes before its texts, e.g. `{"query": "query: "}`.
        encoding_format: `float`, or `base64` where the server has it, which sends a third of the bytes. Either is read.
        concurrency: requests at a time, at least 1.
        attempts: of a request that fails with 429, 5xx or without an answer; waits heed Retry-After.
        timeout: seconds for one answer.

    Raises:
        InvalidInputError: for a number out of range, or an address or option that is none.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        headers: Mapping[str, str] | None = None,
        dimensions: int | None = None,
        prompts: Mapping[str, str] | None = None,
        encoding_format: str = "float",
        concurrency: int = 4,
        attempts: int = 6,
        timeout: float = 60.0,
    ) -> None:
        self.name = f"openai:{_check_words('the name of the model', model)}"
        if "://" in model or _ADDRESS.search(model):
            raise InvalidInputError(
                "the address of a server is such as openai:MODEL@http://localhost:8000/v1"
            )
        if not isinstance(prompts, Mapping | None):
            raise InvalidInputError(f"prompts are such as {{'query': 'query: '}}, got {show(prompts)}")
        self._prompts = {role: _check_words("a prompt", told) for role, told in (prompts or {}).items()}
        if unknown := sorted(map(str, {*self._prompts} - {"query", "document"})):
            raise InvalidInputError(f"prompts are for 'query' and 'document', got {show(unknown[0])}")
        if encoding_format not in ("float", "base64"):
            raise InvalidInputError(f"encoding_format is 'float' or 'base64', got {show(encoding_format)}")
        self._body: dict[str, Any] = {"model": model, "encoding_format": encoding_format}
        if dimensions is not None:
            self._body["dimensions"] = check_whole("dimensions", dimensions, 1)
        self._concurrency = check_whole("concurrency", concurrency, 1)
        self._client = JSONClient(
            base_url or os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL,
            api_key=api_key,
            api_key_variable=api_key_variable,
            headers=headers,
            attempts=check_whole("attempts", attempts, 1),
            timeout=check_number("timeout", timeout, "above 0 seconds", ABOVE_0, FINITE),
        )
        given: dict[str, Any] = {
            "base_url": self._client.address,  # wherever the environment says, the next time
            "api_key_variable": api_key_variable if api_key_variable != "OPENAI_API_KEY" else None,
            "dimensions": dimensions,
            "prompts": self._prompts or None,
            "encoding_format": encoding_format if encoding_format != "float" else None,
        }
        self._options = {key: value for key, value in given.items() if value is not None}
        self._largest: int | None = None
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"EndpointEmbedding({self._body['model']!r}, base_url={self.address!r})"

    @property
    def address(self) -> str:
        """Of the server, without credentials."""
        return self._client.address

    @property
    def options(self) -> Mapping[str, Any]:
        """Of `Expert.load`, where they decide what is embedded, and by whom; no credentials."""
        return self._options

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def embed(
        self, texts: Sequence[str], role: Role, *, batch_size: int, prompts: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """Embed texts, several batches at a time, in the order in which the server answers.

        When a batch fails, those that are under way are still given, so that nothing that was paid for is lost.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`; decides the prompt.
            batch_size: texts in one request, at most.
            prompts: not used: a server has none.

        Yields:
            Positions of m texts, and their embeddings `[m, D]`, float32.

        Raises:
            EmbeddingError: if the server cannot be reached, refuses, or answers with something else than embeddings; with
                the position of the text where one is to blame.
        """
        prompt = self._prompts.get(role, "")
        size = min(batch_size, self._largest or batch_size)
        groups = [range(start, min(start + size, len(texts))) for start in range(0, len(texts), size)]
        failure: EmbeddingError | None = None
        waiting, answers = deque(groups), SimpleQueue[Future[_Outcome] | None]()

        def work() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    rows, done = waiting.popleft(), Future[_Outcome]()
                    try:
                        done.set_result(self._embed_group(texts, rows, prompt))
                    except BaseException as error:
                        done.set_exception(error)
                    if done.exception() is not None or done.result()[1] is not None:
                        waiting.clear()  # what has not begun does not begin
                    answers.put(done)
            answers.put(None)

        working = min(self._concurrency, len(groups))
        for number in range(working):  # whoever interrupts, or exits, waits for none
            threading.Thread(target=work, name=f"uec-endpoint-{number}", daemon=True).start()
        try:
            while working:
                answer = answers.get()
                if answer is None:
                    working -= 1
                    continue
                batches, error = answer.result()
                failure = failure or error
                yield from batches
        finally:
            waiting.clear()
        if failure is not None:
            raise failure

    def _embed_group(self, texts: Sequence[str], rows: range, prompt: str) -> _Outcome:
        """One request, or several if the server finds it too large."""
        known = self._largest
        if known is None or len(rows) <= known:
            try:
                body = {**self._body, "input": [prompt + texts[i] for i in rows]}
                return [(rows, self._read(self._client.request("POST", "embeddings", body), rows))], None
            except EmbeddingError as error:
                return [], error
            except RefusedError as error:
                if error.status not in _TOO_MUCH or len(rows) == 1:
                    return [], self._refusal(error, rows)
        middle = rows.start + len(rows) // 2
        parts, failure = self._embed_group(texts, range(rows.start, middle), prompt)
        if failure is None:
            rest, failure = self._embed_group(texts, range(middle, rows.stop), prompt)
            parts += rest
        if failure is None:  # no text was to blame: the batch was too large
            with self._mutex:
                largest = max(len(part) for part, _ in parts)
                self._largest = min(self._largest or largest, largest)
        return parts, failure

    def _refusal(self, error: RefusedError, rows: range) -> EmbeddingError:
        """Whether a text is to blame for what a server said, which a harmless one tells."""
        told = f"{self.name} at {self.address}: {error}"
        if error.status not in _TOO_MUCH:
            return EmbeddingError(told)
        try:
            self._client.request("POST", "embeddings", {**self._body, "input": [_HARMLESS]})
        except RefusedError:
            return EmbeddingError(f"{told}. It refuses any text: look at the model's name and options")
        return EmbeddingError(
            f"{told}. If the text is too long for the model, split or shorten it", rows.start
        )

    def _read(self, answer: Mapping[str, Any], rows: range) -> Array:
        """`[m, D]` of an answer."""
        entries = answer.get("data")
        try:
            if not isinstance(entries, list) or len(entries) != len(rows):
                raise ValueError(f"{len(entries) if isinstance(entries, list) else 'no'} embeddings")
            ordered: list[Any] = [None] * len(rows)
            for place, entry in enumerate(entries):
                index = entry.get("index")
                ordered[place if index is None else int(index)] = entry["embedding"]
            vectors = [_decode(each) for each in ordered]
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise EmbeddingError(
                f"{self.name} at {self.address} answered {len(rows)} texts with something else than as many "
                f"embeddings ({show(error)}): it must speak OpenAI's /v1/embeddings"
            ) from error
        lengths = [len(vector) for vector in vectors]
        for row, length in zip(rows, lengths, strict=True):
            if length != lengths[0]:
                raise EmbeddingError(
                    f"{self.name} at {self.address} gave embeddings of {lengths[0]} and of {length} numbers in one "
                    "answer: it must serve one model under that name",
                    row,
                )
        return np.stack(vectors)


def _check_words(name: str, value: object) -> str:
    if isinstance(value, str) and value and surrogate_at(value) is None:
        return value
    raise InvalidInputError(f"{name} must be a non-empty string of whole characters, got {show(value)}")


def _decode(embedding: Any) -> Array:
    """Numbers, or base64 of float32 in little-endian order."""
    with np.errstate(over="ignore"):  # infinity is refused later, with the text's position
        if isinstance(embedding, str):
            vector = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
        else:
            vector = np.asarray(embedding, dtype=np.float32)
    if vector.ndim != 1 or not len(vector):
        raise ValueError("no list of numbers")
    return vector
