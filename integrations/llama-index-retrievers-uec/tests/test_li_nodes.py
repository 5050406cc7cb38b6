"""Nodes come back whole, whatever they are."""

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.schema import (
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.retrievers.uec import UECRetriever
from llama_index.retrievers.uec.content_ids import with_content_ids
from llama_index.retrievers.uec.nodes import node_of, records_of

from devtools.generated import examples
from uec_retriever.data.records import Record
from uec_retriever.errors import InvalidInputError, StorageError

counter = itertools.count()
alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
words = st.text(alphabet, min_size=1, max_size=12).filter(str.strip)
keys = words.filter(lambda k: not k.startswith(("uec:", "chroma:", "#", "$")))
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(words, st.integers(-(2**63), 2**63 - 1), floats, st.booleans())
lists = st.one_of(*(st.lists(s, max_size=3) for s in (words, st.integers(-9, 9), floats, st.booleans())))
metadata = st.dictionaries(keys, st.one_of(scalars, lists, st.none()), max_size=5)
infos = st.builds(
    RelatedNodeInfo,
    node_id=words,
    node_type=st.sampled_from([None, ObjectType.TEXT, ObjectType.DOCUMENT]),
    metadata=st.dictionaries(words, scalars, max_size=2),
    hash=st.one_of(st.none(), words),
)
one = (NodeRelationship.SOURCE, NodeRelationship.PREVIOUS, NodeRelationship.NEXT, NodeRelationship.PARENT)
relationships = st.builds(
    lambda single, children: {**single, **children},
    st.dictionaries(st.sampled_from(one), infos, max_size=3),
    st.one_of(
        st.just({}), st.fixed_dictionaries({NodeRelationship.CHILD: st.lists(infos, min_size=1, max_size=2)})
    ),
)
images = st.builds(MediaResource, data=st.binary(min_size=1, max_size=20), mimetype=st.just("image/png"))


class Annotated(TextNode):
    """A class of the user's own."""

    reviewer: str = ""


@st.composite
def nodes(draw):
    fields = {
        "id_": str(next(counter)),
        "metadata": draw(metadata),
        "relationships": draw(relationships),
        "excluded_embed_metadata_keys": draw(st.lists(keys, max_size=2)),
        "excluded_llm_metadata_keys": draw(st.lists(keys, max_size=2)),
        "metadata_separator": draw(st.sampled_from(["\n", " | "])),
        "metadata_template": draw(st.sampled_from(["{key}: {value}", "{key}={value}"])),
        "text_template": draw(st.sampled_from(["{metadata_str}\n\n{content}", "{content}"])),
    }
    text = draw(words)
    cls = draw(st.sampled_from([TextNode, IndexNode, ImageNode, Node, Document, ImageDocument, Annotated]))
    if issubclass(cls, Node):
        fields["text_resource"] = MediaResource(
            text=text, mimetype=draw(st.sampled_from([None, "text/html"]))
        )
        fields["image_resource"] = draw(st.one_of(st.none(), images))
    else:
        fields |= {"text": text, "start_char_idx": draw(st.one_of(st.none(), st.integers(0, 9)))}
    if cls is IndexNode:
        fields["index_id"] = draw(words)
    if cls is ImageNode:
        fields |= {
            "image": draw(st.one_of(st.none(), words)),
            "image_path": draw(st.sampled_from([None, "a.png"])),
        }
    if cls is Annotated:
        fields["reviewer"] = draw(words)
    return cls(**fields)


def assert_equal(back, node):
    assert type(back) is type(node)
    assert back == node
    assert back.hash == node.hash
    assert list(back.metadata.items()) == list(node.metadata.items())
    for mode in MetadataMode:
        assert back.get_content(metadata_mode=mode) == node.get_content(metadata_mode=mode)
    for name in ("text_resource", "image_resource"):
        ours, theirs = getattr(back, name, None), getattr(node, name, None)
        assert (ours and ours.data) == (theirs and theirs.data)


@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(node=nodes())
def test_nodes_come_back_from_the_index_as_they_were(filled, node):
    retriever = UECRetriever(engine=filled)
    before = node.model_copy(deep=True)
    retriever.add_nodes([node])
    assert node == before
    try:
        [back] = retriever.get_nodes([node.node_id])
        assert_equal(back, node)
        assert back.ref_doc_id == node.ref_doc_id
        assert retriever.add_nodes([node]).unchanged == 1
        assert retriever.add_nodes([back]).unchanged == 1
    finally:
        retriever.delete([node.node_id])


def test_what_is_stored_serves_others_too():
    node = TextNode(
        id_="a",
        text="the wing",
        metadata={"title": "Flow", "none": None, "empty": [], "path": "x"},
        excluded_embed_metadata_keys=["none", "empty", "path"],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc")},
    )
    [record] = records_of([node])
    assert (record.id, record.text, record.source) == ("a", "the wing", "doc")
    assert record.metadata == {"title": "Flow", "path": "x"}
    assert record.embedded == "title: Flow\n\nthe wing"
    assert record.payload.isascii()
    assert "wing" not in record.payload
    assert "Flow" not in record.payload
    assert len(record.payload) < 300


def test_text_alone_is_embedded_as_it_is():
    [record] = records_of([TextNode(id_="a", text="the wing", embedding=[0.5])])
    assert record.embedded is None
    assert "embedding" not in record.payload


def test_objects_of_index_nodes_are_not_stored():
    [record] = records_of([IndexNode(id_="a", text="the wing", index_id="table", obj=object())])
    back = node_of(record.id, record.text, record.metadata, record.payload)
    assert (back.index_id, back.obj) == ("table", None)


def test_records_of_others_are_text_nodes():
    back = node_of("a", "the wing", {"n": 1}, None)
    assert_equal(back, TextNode(id_="a", text="the wing", metadata={"n": 1}))


def test_metadata_that_another_program_changed_wins():
    node = TextNode(id_="a", text="the wing", metadata={"b": 0.1, "a": 1, "gone": "x", "none": None})
    [record] = records_of([node])
    changed = node_of("a", "the wing", {"new": 1, "a": 2, "b": 0.25}, record.payload)
    assert list(changed.metadata.items()) == [("b", 0.25), ("a", 2), ("none", None), ("new", 1)]


@pytest.mark.parametrize("payload", ["", "{", "[]", "{}", '{"langchain": {}}'])
def test_payloads_of_others(payload):
    assert type(node_of("a", "the wing", {}, payload)) is TextNode


@pytest.mark.parametrize("payload", ['{"llama_index": {}}', '{"llama_index": {"node": 1, "keys": []}}'])
def test_damaged_payloads(payload):
    with pytest.raises(StorageError, match="'a'"):
        node_of("a", "the wing", {}, payload)


def test_a_class_that_is_not_imported_comes_back_as_its_base(caplog):
    [record] = records_of([Annotated(id_="a", text="the wing", reviewer="Ann")])
    payload = record.payload.replace("Annotated", "Elsewhere")
    assert type(node_of("a", "the wing", {}, payload)) is TextNode
    assert "Elsewhere" in caplog.text


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (TextNode(text=" "), "text 0 is empty"),
        (TextNode(text="a\0b"), "text 0 has a NUL"),
        (TextNode(text="the wing", id_=""), "id 0 is empty"),
        (TextNode(text="the wing", metadata={"nested": {"a": 1}}), "'nested': dict cannot be stored"),
        (TextNode(text="the wing", metadata={"n": float("nan")}), "NaN"),
        (TextNode(text="the wing", metadata={"uec:v": 1}), "reserved"),
        (Document(text_resource=None), "text 0 is empty"),
        ("the wing", "str, not a node"),
        (
            TextNode(text="t", relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="")}),
            "source 0 is empty",
        ),
    ],
)
def test_nodes_that_cannot_be_stored_are_refused(node, says):
    with pytest.raises(InvalidInputError, match=says):
        records_of([node])


def test_content_ids_do_not_depend_on_own_ids_and_relationships_follow():
    def chain(prefix):
        made = [TextNode(id_=f"{prefix}{i}", text="same" if i < 2 else "other") for i in range(3)]
        for a, b in itertools.pairwise(made):
            a.relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id=b.node_id)
            b.relationships[NodeRelationship.CHILD] = [RelatedNodeInfo(node_id=a.node_id)]
            b.relationships[NodeRelationship.PARENT] = RelatedNodeInfo(node_id="elsewhere")
        return made

    first, second = chain("x"), chain("y")
    renamed = with_content_ids(first)
    assert renamed == with_content_ids(second)
    assert len({n.node_id for n in renamed}) == 3
    assert renamed[0].next_node.node_id == renamed[1].node_id
    assert renamed[1].child_nodes[0].node_id == renamed[0].node_id
    assert renamed[1].parent_node.node_id == "elsewhere"
    assert first == chain("x")
    twice = with_content_ids([first[0], first[0]])
    assert {n.node_id for n in twice} == {renamed[0].node_id}


def test_records_round_trip_through_json():
    node = TextNode(id_="a", text="the wing", metadata={"z": 0.1 + 0.2, "ü": "ö"})
    [record] = records_of([node])
    assert json.loads(record.payload)["llama_index"]["values"] == {"z": 0.1 + 0.2}
    assert isinstance(record, Record)
