"""What runs an ONNX model: onnxruntime's session and the tokenizer of a folder."""

from __future__ import annotations

import onnxruntime
import torch
from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as Normalizers

from uec_retriever.checks.numbers import check_whole
from uec_retriever.errors import ModelNotFoundError
from uec_retriever.experts.onnx_folder import OnnxFolder


def open_session(folder: OnnxFolder, threads: int | None) -> onnxruntime.InferenceSession:
    """A session on the CPU; safe under threads.

    Args:
        folder: of the model.
        threads: that share one forward pass; as many as torch would take if None.

    Raises:
        InvalidInputError: for a number of threads below 1.
        ModelNotFoundError: if onnxruntime cannot load the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        torch.get_num_threads() if threads is None else check_whole("threads", threads, 1)
    )
    options.log_severity_level = (
        3  # errors alone: warnings are of the graph, and reach people as exceptions do not
    )
    try:
        return onnxruntime.InferenceSession(str(folder.model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # they have no common base
        raise ModelNotFoundError(
            f"onnxruntime {onnxruntime.__version__} cannot load {folder.model}: {first_line(error)}. Copy or export the file "
            "anew, or give another with file_name="
        ) from error


def open_tokenizer(folder: OnnxFolder) -> Tokenizer:
    """The tokenizer, which cuts texts and leaves them unpadded; safe under threads so long as nobody changes it.

    Args:
        folder: of the model.

    Raises:
        ModelNotFoundError: if its file cannot be read.
    """
    try:
        tokenizer = Tokenizer.from_file(str(folder.tokenizer))
    except Exception as error:  # the library raises nothing narrower
        raise ModelNotFoundError(
            f"cannot read {folder.tokenizer}: {first_line(error)}. Save the model's tokenizer anew"
        ) from error
    if folder.lower_case:
        parts = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = Normalizers([Lowercase(), *parts])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if folder.max_length is not None:
        tokenizer.enable_truncation(folder.max_length, direction=folder.truncation_side)
    return tokenizer


def first_line(error: Exception) -> str:
    """What an error says first.

    Args:
        error: of a library that says much.
    """
    return (str(error) or repr(error)).splitlines()[0][:300]
