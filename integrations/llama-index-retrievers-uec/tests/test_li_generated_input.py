"""Generated input through LlamaIndex's classes: an answer, or our error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.postprocessor.uec import UECRescorer
from llama_index.retrievers.uec import UECRetriever
from pydantic import ValidationError

from devtools.generated import ANYTHING, GENERATED, SCALARS, ours
from tests.engine.small import sentences
from uec_retriever import Engine

QUERY = "what flow has the large wing"
TEXTS = sentences(12, 7)
KEYS = st.sampled_from(("n", "s", "absent", "")) | st.text(max_size=3)


@pytest.fixture(scope="module")
def made(li_fitted, recipe, tmp_path_factory):
    engine = Engine.create(tmp_path_factory.mktemp("generated") / "index", li_fitted[1], recipe)
    with UECRetriever(engine=engine) as retriever:
        retriever.add_nodes(
            [TextNode(id_=f"n{i}", text=t, metadata={"n": i, "s": "x"}) for i, t in enumerate(TEXTS)]
        )
        yield retriever


def framework(call, *args, **keywords):
    """What a class of LlamaIndex's own is made of; None if it refuses."""
    try:
        return call(*args, **keywords)
    except (ValidationError, TypeError, ValueError):
        return None


@GENERATED
@given(
    options=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("similarity_top_k", "candidates", "similarity_cutoff", "temperature", "include", "filters"),
            ANYTHING,
        ),
    )
)
def test_options_of_a_retriever(made, options):
    retriever = ours(UECRetriever, engine=made.engine, **options)
    if retriever is not None:
        found = ours(retriever.retrieve, QUERY)
        assert found is None or all(isinstance(node, NodeWithScore) for node in found)


@GENERATED
@given(
    parts=st.lists(st.tuples(KEYS, ANYTHING, st.sampled_from(list(FilterOperator))), max_size=3),
    condition=st.sampled_from(list(FilterCondition)),
)
def test_any_filter_is_applied_or_refused(made, parts, condition):
    leaves = [
        framework(MetadataFilter, key=key, value=value, operator=operator) for key, value, operator in parts
    ]
    filters = framework(
        MetadataFilters, filters=[leaf for leaf in leaves if leaf is not None], condition=condition
    )
    if (
        filters is not None
        and (retriever := ours(UECRetriever, engine=made.engine, filters=filters)) is not None
    ):
        ours(retriever.retrieve, QUERY)


@GENERATED
@given(text=st.text(max_size=20) | st.sampled_from(TEXTS), embedding=st.none() | ANYTHING)
def test_queries(made, text, embedding):
    trusting = made.with_options(trust_query_embedding=True)
    bundle = framework(QueryBundle, text)
    if bundle is not None:
        bundle.embedding = embedding
        for retriever in (made, trusting):
            ours(retriever.retrieve, bundle)


@GENERATED
@given(
    text=st.text(max_size=10) | st.sampled_from(TEXTS),
    metadata=st.dictionaries(KEYS, SCALARS | ANYTHING, max_size=2),
    identifier=st.none() | st.text(max_size=5),
)
def test_nodes(made, text, metadata, identifier):
    node = framework(
        TextNode, text=text, metadata=metadata, **({} if identifier is None else {"id_": identifier})
    )
    if node is None:
        return
    report = ours(made.add_nodes, [node])
    if report is not None and report.added:
        assert made.delete([node.node_id]) == 1
    ours(made.add_documents, [node])
    ours(UECRescorer(engine=made.engine).postprocess_nodes, [NodeWithScore(node=node)], query_str=QUERY)


@GENERATED
@given(ids=ANYTHING)
def test_ids(made, ids):
    before = made.engine.count()
    gone = ours(made.delete, ids)
    assert made.engine.count() == before - (gone or 0)
    ours(made.delete_ref_doc, ids)
