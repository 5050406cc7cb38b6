"""Numbers among the options of training and labelling: what is none is refused by name."""

import json

import numpy as np
import pytest

from uec_retriever.errors import InvalidInputError
from uec_retriever.training.options import TrainingOptions
from uec_retriever.utility_labeler.generation import Generation
from uec_retriever.utility_labeler.mining import Mining
from uec_retriever.utility_labeler.utility import LabelOptions

NUMBERS = [
    (kind, name)
    for kind in (TrainingOptions, Generation, Mining, LabelOptions)
    for name, value in vars(kind()).items()
    if (isinstance(value, int | float) and not isinstance(value, bool))
    or name in ("minimum_utility", "mini_batch_size", "max_length", "lora_rank", "max_tokens")
]


@pytest.mark.parametrize("value", ["3", [1], True, float("nan"), -(10**400), {}])
@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_what_is_no_number_is_refused_by_name(kind, name, value):
    with pytest.raises(InvalidInputError, match=f"^{name} must be"):
        kind(**{name: value})


def test_numbers_of_numpy_are_taken():
    options = TrainingOptions(batch_size=np.int64(4), tau=np.float64(0.1), max_length=np.int32(7))
    assert json.loads(json.dumps(options.to_dict()))["batch_size"] == 4
    assert options.tau == 0.1
    assert options.max_length == 7


def test_open_ends_are_outside():
    for name, value in [("tau", 0), ("heldout", 1), ("warmup", 1.0), ("tau", float("inf")), ("epochs", 0)]:
        with pytest.raises(InvalidInputError, match=name):
            TrainingOptions(**{name: value})
    assert TrainingOptions(tau_u=float("inf"), heldout=0, margin=0).tau_u == float("inf")


def test_numbers_of_numpy_can_be_told_in_json():
    given = {"min_gain": np.float32(0.5)}, {"random_share": np.float32(0.5), "candidates": np.int64(3)}
    for kind, options in zip((Generation, Mining), given, strict=True):
        assert (
            json.loads(json.dumps(vars(kind(**options)))).items()
            >= {k: v.item() for k, v in options.items()}.items()
        )
