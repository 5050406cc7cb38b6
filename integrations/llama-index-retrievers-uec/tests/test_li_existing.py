"""One rule for ids that are there, for metadata, and one name for the candidates: as in the engine and on the command line."""

from datetime import date

import pytest
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.schema import Document, TextNode
from llama_index.retrievers.uec import UECRetriever
from llama_index.vector_stores.uec import UECVectorStore

from uec_retriever.errors import IdConflictError, InvalidInputError

SPLITTER = [TokenTextSplitter(chunk_size=30, chunk_overlap=0)]
LONG = "The wing is large. " * 30


def document(text, identifier="one"):
    return Document(id_=identifier, text=text)


def texts(retriever, identifier="one"):
    return [n.get_content() for n in retriever.get_nodes() if n.ref_doc_id == identifier]


@pytest.fixture
def made(retriever):
    """A retriever over the nodes of a long document and a short one."""
    found = retriever()
    found.add_documents([document(LONG), document("a cat", "two")], transformations=SPLITTER)
    assert len(texts(found)) > 2
    return found


def test_a_changed_document_takes_the_place_of_the_old_one_whole(made, caplog):
    number = len(texts(made))
    with caplog.at_level("INFO", "uec_retriever"):
        report = made.add_documents([document("a red bird")], transformations=SPLITTER)
    assert (report.added, report.deleted) == (1, number)
    assert f"{number} parts of documents that have other content now were deleted" in caplog.text
    assert texts(made) == ["a red bird"] and texts(made, "two") == ["a cat"]


def test_a_changed_document_is_refused_or_skipped_whole_on_request(made):
    before, both = texts(made), [document("a red bird"), document("a dog", "three")]
    with pytest.raises(IdConflictError, match="1 documents are in the index.*'one'.*existing='replace'"):
        made.add_documents(both, transformations=SPLITTER, existing="refuse")
    assert texts(made) == before and texts(made, "three") == []
    report = made.add_documents(both, transformations=SPLITTER, existing="skip")
    assert (report.added, report.skipped) == (1, 1)
    assert texts(made) == before and texts(made, "three") == ["a dog"]


def test_nodes_of_a_document_may_come_one_call_after_the_other(made):
    before, nodes = texts(made), [n for n in made.get_nodes() if n.ref_doc_id == "one"]
    made.delete_ref_doc("one")
    store = UECVectorStore(engine=made.engine)
    for position, node in enumerate(nodes):
        store.add([node]) if position % 2 else made.add_nodes([node])
    assert texts(made) == before


def test_the_same_documents_again_are_no_conflict(made):
    for existing in ("replace", "refuse", "skip"):
        report = made.add_documents([document(LONG)], transformations=SPLITTER, existing=existing)
        assert (report.added, report.updated, report.skipped, report.deleted) == (0, 0, 0, 0)


def test_making_an_index_goes_by_the_same_rule(tmp_path, experts, recipe):
    def make(text, **options):
        return UECRetriever.from_documents(
            [document(text)], location=tmp_path / "i", transformations=SPLITTER, **options
        )

    make(LONG, experts=experts, recipe=recipe).close()
    with pytest.raises(IdConflictError):
        make("a red bird", existing="refuse")
    with make("a red bird", existing="skip") as retriever:
        assert len(texts(retriever)) > 2
    with make("a red bird") as retriever:
        assert texts(retriever) == ["a red bird"]
    for function, given in (
        (UECRetriever.from_nodes, TextNode(text="x")),
        (UECRetriever.from_documents, document("x")),
    ):
        with pytest.raises(InvalidInputError, match="existing must be one of"):
            function([given], location=tmp_path / "i", existing="update")
    node = TextNode(id_="n", text="the wing")
    UECRetriever.from_nodes([node], location=tmp_path / "i").close()
    with pytest.raises(IdConflictError):
        UECRetriever.from_nodes([TextNode(id_="n", text="flow")], location=tmp_path / "i", existing="refuse")
    with UECRetriever.from_nodes([TextNode(id_="n", text="flow")], location=tmp_path / "i") as retriever:
        assert retriever.get_nodes(["n"])[0].get_content() == "flow"


def test_one_id_for_two_nodes_of_a_call_is_refused_by_every_rule(retriever):
    made = retriever()
    for existing in ("replace", "refuse", "skip"):
        with pytest.raises(IdConflictError, match="'x' is given twice"):
            made.add_nodes([TextNode(id_="x", text="one"), TextNode(id_="x", text="two")], existing=existing)


def test_the_former_name_of_the_rule_still_serves(retriever, tmp_path, experts, recipe):
    made = retriever([TextNode(id_="x", text="one")])
    with pytest.warns(DeprecationWarning, match="existing='refuse'"), pytest.raises(IdConflictError):
        made.add_nodes([TextNode(id_="x", text="two")], update=False)
    with pytest.warns(DeprecationWarning, match="leave it out to replace"):
        UECRetriever.from_documents([document("x")], experts, tmp_path / "i", recipe, update=True).close()


def test_metadata(retriever):
    given = {"none": None, "empty": [], "day": date(2024, 2, 29), "n": 1}
    made = retriever([TextNode(id_="a", text="flow heat", metadata=given)])
    assert made.engine.get(["a"])[0].metadata == {"day": "2024-02-29", "n": 1}
    assert made.get_nodes(["a"])[0].metadata == {**given, "day": "2024-02-29"}
    with pytest.raises(InvalidInputError, match="metadata of 'c', key 'nested'"):
        made.add_nodes([TextNode(id_="c", text="x", metadata={"nested": {"a": 1}})])


def test_an_empty_corpus_says_so_and_one_text_is_enough(experts, tmp_path):
    for make in (UECRetriever.from_nodes, UECRetriever.from_documents):
        with pytest.raises(InvalidInputError, match="the corpus is empty"):
            make([], experts, tmp_path / "i")
    assert not (tmp_path / "i").exists()
    with UECRetriever.from_documents([document("the wing")], experts[:1], tmp_path / "i") as made:
        assert "Python standard library" in made.engine.manifest.reference
        assert [n.get_content() for n in made.retrieve("wing")] == ["the wing"]


def test_candidates_have_two_names(retriever, engine):
    made = retriever([TextNode(id_=str(i), text=f"the wing and {i} birds") for i in range(20)])
    found = [h.id for h in engine.search("the wing", 4, candidates=4)]
    for name in ("candidates", "fetch_k"):
        one = UECRetriever(engine=engine, similarity_top_k=4, **{name: 4})
        assert one.candidates == 4 and [n.node_id for n in one.retrieve("the wing")] == found
        assert made.with_options(similarity_top_k=4, **{name: 4}).candidates == 4
        with pytest.raises(InvalidInputError, match="candidates must be at least"):
            made.with_options(similarity_top_k=4, **{name: 1})
    with pytest.raises(InvalidInputError, match="two names of one number"):
        made.with_options(candidates=40, fetch_k=50)
