"""Filters mean on Chroma what they mean in LlamaIndex."""

import itertools

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.retrievers.uec import UECRetriever, chroma_filter

from devtools.generated import examples
from uec_retriever.errors import InvalidInputError

try:
    from llama_index.core.vector_stores.utils import build_metadata_filter_fn
except ImportError:  # before 0.14 it knew fewer operators, and was private
    build_metadata_filter_fn = None
needs_oracle = pytest.mark.skipif(build_metadata_filter_fn is None, reason="no filters to compare with")
NUMBERS = (-2, -1, 0, 1, 2, 3, -1.5, -0.5, 0.5, 1.0, 1.5, 2.0, 2.5)
STRINGS = ("", "a", "b", "ab")
LISTS = (["a"], ["a", "b"], ["b", "c"], [1], [1, 2], [1.0, 2.5], [-1.5], [True, False])
VALUES = {
    "number": (*NUMBERS, True, False),
    "string": STRINGS,
    "list": LISTS,
    "any": (*STRINGS, 1, 1.5, True),
}
KEYS = tuple(VALUES)
EQUALITY = (FilterOperator.EQ, FilterOperator.NE)
RANGES = (FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE)
SETS = (FilterOperator.IN, FilterOperator.NIN)
QUANTIFIED = (FilterOperator.ANY, FilterOperator.ALL)


def records():
    """Every value under every key, and records that lack keys."""
    singles = [{key: value} for key, values in VALUES.items() for value in values]
    pairs = [{**a, **b} for a, b in itertools.combinations(singles, 2) if a.keys() != b.keys()]
    return [{"other": 1}, *singles, *pairs[::7]]


RECORDS = records()


def single(key, value, operator):
    return MetadataFilter(key=key, value=value, operator=operator)


@st.composite
def leaves(draw):
    key = draw(st.sampled_from(KEYS))
    numbers, strings = st.sampled_from(NUMBERS), st.sampled_from(STRINGS)
    if key == "number":
        operator = draw(st.sampled_from((*EQUALITY, *RANGES, *SETS)))
        values = numbers
    elif key == "list":
        operator = draw(st.sampled_from((FilterOperator.CONTAINS, *QUANTIFIED)))
        values = draw(st.sampled_from((numbers, strings)))
    else:
        operator = draw(st.sampled_from((*EQUALITY, *SETS)))
        values = strings if key == "string" else draw(st.sampled_from((numbers, strings)))
    if operator in (*SETS, *QUANTIFIED):
        values = st.lists(values, min_size=int(operator == FilterOperator.ALL), max_size=3)
    return single(key, draw(values), operator)


def trees(leaf):
    conditions = st.sampled_from((*FilterCondition, None))
    return st.recursive(
        leaf,
        lambda inner: st.builds(
            lambda filters, condition: MetadataFilters(filters=filters, condition=condition),
            st.lists(inner, min_size=1, max_size=3),
            conditions,
        ),
        max_leaves=5,
    ).map(lambda f: f if isinstance(f, MetadataFilters) else MetadataFilters(filters=[f]))


def means(filters, metadata):
    """LlamaIndex's own meaning, of each filter by itself, joined here: it refuses to nest."""
    if isinstance(filters, MetadataFilter):
        return build_metadata_filter_fn(lambda _: metadata, MetadataFilters(filters=[filters]))("any")
    found = [means(f, metadata) for f in filters.filters]
    if filters.condition == FilterCondition.OR:
        return any(found)
    return not any(found) if filters.condition == FilterCondition.NOT else all(found)


@pytest.fixture(scope="module")
def found(li_fitted, recipe, tmp_path_factory):
    """`found(filters)`: positions in RECORDS."""
    retriever = UECRetriever.from_nodes(
        [TextNode(id_=str(i), text=f"text {i}", metadata=m) for i, m in enumerate(RECORDS)],
        li_fitted[1],
        tmp_path_factory.mktemp("filters"),
        recipe,
    )

    def search(filters):
        return {int(i) for i in retriever.engine.ids(chroma_filter(filters))}

    return search


@needs_oracle
@settings(
    max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(filters=trees(leaves()))
@example(filters=MetadataFilters(filters=[single("number", -1.5, FilterOperator.LTE)]))
@example(filters=MetadataFilters(filters=[single("number", 1.5, FilterOperator.EQ)], condition="not"))
def test_filters_find_what_llama_index_would(found, filters):
    try:
        matching = found(filters)
    except InvalidInputError as error:
        assert "inside of 'not'" in str(error)
        return
    assert matching == {i for i, metadata in enumerate(RECORDS) if means(filters, metadata)}


@needs_oracle
@pytest.mark.parametrize("operator", RANGES)
@pytest.mark.parametrize("value", NUMBERS)
def test_ranges_over_integers_fractions_and_bools(found, operator, value):
    filters = MetadataFilters(filters=[single("number", value, operator)])
    assert found(filters) == {i for i, metadata in enumerate(RECORDS) if means(filters, metadata)}


@needs_oracle
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**70, 1e22, -1e22])
@pytest.mark.parametrize("operator", [*RANGES, *EQUALITY])
def test_numbers_of_more_than_64_bits(found, operator, value):
    filters = MetadataFilters(filters=[single("number", value, operator)])
    assert found(filters) == {i for i, metadata in enumerate(RECORDS) if means(filters, metadata)}


@pytest.mark.parametrize("operator", list(FilterOperator))
def test_every_operator_is_translated_or_refused_by_name(operator):
    value = ["a"] if operator in (*SETS, *QUANTIFIED) else 1 if operator in RANGES else "a"
    filters = MetadataFilters(filters=[single("key", value, operator)])
    if operator in (
        FilterOperator.TEXT_MATCH,
        FilterOperator.TEXT_MATCH_INSENSITIVE,
        FilterOperator.IS_EMPTY,
    ):
        with pytest.raises(InvalidInputError, match=f"'{operator.value}'"):
            chroma_filter(filters)
    else:
        assert chroma_filter(filters)


@pytest.mark.parametrize(
    ("operator", "value", "says"),
    [
        (FilterOperator.GT, "a", "'>'.*'a'"),
        (FilterOperator.LTE, ["a"], "'<='"),
        (FilterOperator.EQ, None, "'=='"),
        (FilterOperator.EQ, ["a"], "'=='"),
        (FilterOperator.IN, "a", "'in'.*list"),
        (FilterOperator.ANY, 1, "'any'.*list"),
        (FilterOperator.ALL, [], "'all'"),
        (FilterOperator.EQ, float("nan"), "'=='"),
        (FilterOperator.IN, [float("inf")], "'in'"),
        (FilterOperator.CONTAINS, None, "'contains'"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(operator, value, says):
    with pytest.raises(InvalidInputError, match=says):
        chroma_filter(MetadataFilters(filters=[single("key", value, operator)]))


def test_negated_ranges_are_refused_by_name():
    ranged = MetadataFilters(filters=[single("n", 1, FilterOperator.GT)])
    negated = MetadataFilters(filters=[ranged], condition="not")
    with pytest.raises(InvalidInputError, match="'>'.*'n'"):
        chroma_filter(negated)
    with pytest.raises(InvalidInputError, match="'>'"):
        chroma_filter(MetadataFilters(filters=[negated], condition="not"))


def test_no_filters():
    assert chroma_filter(None) is None
    assert chroma_filter(MetadataFilters(filters=[])) is None
    assert chroma_filter(MetadataFilters(filters=[MetadataFilters(filters=[])])) is None
    with pytest.raises(InvalidInputError, match="MetadataFilters"):
        chroma_filter({"year": 2020})
