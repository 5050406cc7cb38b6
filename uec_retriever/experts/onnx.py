"""OnnxEmbedding: a sentence-transformers model as an ONNX file, run by onnxruntime on the CPU; torch takes no part.

It needs onnxruntime and tokenizers alone, as Chroma does. `onnx_export` makes such files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from tokenizers import Encoding

from uec_retriever.data.splitting import Window
from uec_retriever.errors import (
    EmbeddingError,
    InvalidInputError,
    UnsupportedModelError,
    show,
)
from uec_retriever.experts.head import Role
from uec_retriever.experts.onnx_folder import POOLINGS, fetch_folder, read_folder
from uec_retriever.experts.onnx_session import first_line, open_session, open_tokenizer
from uec_retriever.experts.prompts import choose_prompt
from uec_retriever.experts.text_embedding import Batch, TextEmbedding
from uec_retriever.experts.truncation import may_be_cut
from uec_retriever.gaussian import Array

_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_TOKENS = 1024  # of a forward pass: larger ones are slower, not faster, as onnxruntime keeps all weights of attention
_CHUNK = 1024  # texts that are tokenised together
_NOISE = 0.01  # of the largest component, above which batches matter; float16 stays below, quantised activations do not


class OnnxEmbedding(TextEmbedding):
    """A model in a folder laid out as sentence-transformers lays out its own; safe under threads.

    A model whose activations are quantised by their range in a batch, as by dynamic quantisation, sees one text at a time:
    else an embedding would depend on the texts beside it.

    Args:
        model: folder or hub id.
        file_name: of the ONNX file in it, e.g. `onnx/model_qint8_avx512.onnx`; `onnx/model.onnx` or `model.onnx` if None.
        pooling: `cls`, `mean` or `max`, where the folder does not say.
        prompts: name -> prompt, e.g. `{"query": "query: "}`; those of the folder if None.
        threads: that share one forward pass; as many as torch would take if None.
        revision: of a hub model.
        token: for the hub.
        cache_folder: where the hub's files go.

    Attributes:
        prompts: name -> prompt.
        default_prompt_name: of the prompt of roles that have none, if any.

    Raises:
        ModelNotFoundError: if it cannot be loaded.
        UnsupportedModelError: for a module, a pooling or an input that is not supported.
        InvalidInputError: for an argument out of range, or a file of settings that cannot be read.
    """

    costly = False

    def __init__(
        self,
        model: str,
        *,
        file_name: str | None = None,
        pooling: str | None = None,
        prompts: Mapping[str, str] | None = None,
        threads: int | None = None,
        revision: str | None = None,
        token: str | None = None,
        cache_folder: str | None = None,
    ) -> None:
        if pooling not in (None, *POOLINGS):
            raise InvalidInputError(f"pooling must be one of {list(POOLINGS)}, got {show(pooling)}")
        path = fetch_folder(model, file_name, revision=revision, token=token, cache_dir=cache_folder)
        folder = read_folder(path, file_name)
        self.name = f"onnx:{model}"
        self.prompts: Mapping[str, str] = dict(folder.prompts if prompts is None else prompts)
        self.default_prompt_name = folder.default_prompt_name
        self._folder = folder
        self._session = open_session(folder, threads)
        self._inputs = {
            each.name: np.int32 if "int32" in each.type else np.int64 for each in self._session.get_inputs()
        }
        if strangers := sorted(self._inputs.keys() - _INPUTS):
            raise UnsupportedModelError(
                f"{folder.model} asks for {strangers[0]} beside tokens and their mask: export the model with "
                "`uec export-onnx MODEL FOLDER`, or load it with sentence-transformers, without the prefix onnx:"
            )
        outputs = self._session.get_outputs()
        output = next((each for each in outputs if each.name == "sentence_embedding"), outputs[0])
        self._output = output.name
        self._pooling = None if len(output.shape) == 2 else folder.pooling(pooling)
        self._dimension = output.shape[-1] if isinstance(output.shape[-1], int) else None
        self._tokenizer = open_tokenizer(folder)
        self._fingerprint = self._hash()
        self._alone = self._depends_on_batch()

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the ONNX file, the tokenizer, pooling, prompts and truncation."""
        return self._fingerprint

    @property
    def dimension(self) -> int | None:
        """D; None where only an embedding tells."""
        return self._dimension

    @property
    def window(self) -> Window | None:
        """What the model sees of a document; None if it sees all of it."""
        limit, prompt = self._folder.max_length, choose_prompt(self, "document") or ""
        return None if limit is None else Window(limit, lambda text: self._count(prompt + text))

    def _count(self, text: str) -> int:
        tokens = self._tokenizer.encode(text)
        return len(tokens) + sum(len(rest) for rest in tokens.overflowing)

    def embed(
        self, texts: Sequence[str], role: Role, *, batch_size: int, prompts: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """Embed texts, those of like length together.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`; decides the prompt.
            batch_size: texts in one forward pass, at most; there are fewer where they are long.
            prompts: names of prompts to prefer to the role's.

        Yields:
            Positions of m texts, and their embeddings `[m, D]`, float32.

        Raises:
            EmbeddingError: if onnxruntime fails, with the position of a text of the batch.
        """
        prompt = choose_prompt(self, role, prompts) or ""
        for start in range(0, len(texts), _CHUNK):
            encodings = self._tokenizer.encode_batch_fast(
                [prompt + text for text in texts[start : start + _CHUNK]]
            )
            lengths = [len(each) for each in encodings]
            for rows in _batches(lengths, 1 if self._alone else batch_size):
                try:
                    vectors = self._forward([encodings[i] for i in rows])
                except Exception as error:  # onnxruntime's own have no common base
                    raise EmbeddingError(
                        f"{self.name} failed: {first_line(error)}", start + rows[0]
                    ) from error
                yield [start + i for i in rows], vectors

    def truncated(self, texts: Sequence[str], role: Role, prompts: Sequence[str] = ()) -> list[bool]:
        """`[n]` whether the model cuts the text."""
        prompt = choose_prompt(self, role, prompts) or ""
        flags = [False] * len(texts)
        suspects = may_be_cut(texts, prompt, self._folder.max_length)
        for start in range(0, len(suspects), _CHUNK):
            part = suspects[start : start + _CHUNK]
            for i, encoding in zip(
                part, self._tokenizer.encode_batch_fast([prompt + texts[i] for i in part]), strict=True
            ):
                flags[i] = bool(encoding.overflowing)
        return flags

    def _forward(self, encodings: Sequence[Encoding]) -> Array:
        """`[m, D]` of m texts."""
        shape = len(encodings), max(len(each) for each in encodings)
        ids, kinds = np.full(shape, self._folder.pad), np.zeros(shape, dtype=int)
        mask = np.zeros(shape, dtype=np.float32)
        for row, each in enumerate(encodings):
            ids[row, : len(each)], kinds[row, : len(each)], mask[row, : len(each)] = (
                each.ids,
                each.type_ids,
                1,
            )
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}
        feed = {name: given[name].astype(kind) for name, kind in self._inputs.items()}
        vectors = self._session.run([self._output], feed)[0].astype(np.float32, copy=False)
        if self._pooling == "cls":
            vectors = vectors[:, 0]
        elif self._pooling == "max":
            vectors = np.where(mask[..., None] > 0, vectors, -np.inf).max(axis=1)
        elif self._pooling == "mean":
            vectors = (mask[:, None] @ vectors)[:, 0] / mask.sum(axis=1, keepdims=True)
        return np.asarray(vectors)

    def _depends_on_batch(self) -> bool:
        short, long = self._tokenizer.encode_batch_fast(
            ["wing", "the boundary layer of a wing in 1 supersonic flow"]
        )
        alone, beside = self._forward([short])[0], self._forward([short, long])[0]
        return bool(np.abs(alone - beside).max() > _NOISE * np.abs(alone).max())

    def _hash(self) -> str:
        use = [self._pooling, dict(self.prompts), self.default_prompt_name, self._folder.max_length]
        more = [self._folder.lower_case, self._folder.truncation_side, self._folder.pad]
        digest = hashlib.sha256(json.dumps([*use, *more], sort_keys=True).encode())
        for path in (self._folder.tokenizer, *self._folder.weights):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Positions of texts, longest first: at most `size`, and no more tokens, padding included, than pay."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        number = max(1, min(size, _TOKENS // max(1, lengths[order[0]])))
        yield order[:number]
        order = order[number:]
