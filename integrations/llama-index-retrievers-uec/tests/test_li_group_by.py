"""Documents found by their nodes."""

import pytest
from llama_index.core import Document
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.retrievers.uec import UECRetriever

from tests.engine.small import pairs, sentences
from uec_retriever import Recipe
from uec_retriever.errors import InvalidInputError

TEXTS = [". ".join(sentences(12, seed)) for seed in range(6)]


async def test_each_document_once(li_models):
    documents = [Document(text=text, id_=f"doc {i}") for i, text in enumerate(TEXTS)]
    splitter = TokenTextSplitter(chunk_size=30, chunk_overlap=0)
    with UECRetriever.from_documents(
        documents,
        [li_models["static"]],
        recipe=Recipe(pairs()),
        transformations=[splitter],
        device="cpu",
        similarity_top_k=6,
        group_by="document",
    ) as retriever:
        assert retriever.engine.count() > 12
        found = retriever.retrieve(TEXTS[2])
        assert sorted(n.node.ref_doc_id for n in found) == [f"doc {i}" for i in range(6)]
        assert [n.node_id for n in await retriever.aretrieve(TEXTS[2])] == [n.node_id for n in found]
        nodes = retriever.with_options(group_by=None).retrieve(TEXTS[2])
        assert nodes[0].node_id == found[0].node_id
        with pytest.raises(InvalidInputError, match="group_by must be"):
            retriever.with_options(group_by="node")


def test_what_was_found_is_judged_by_its_node_or_its_document(li_models, tmp_path):
    documents = [Document(text=text, id_=f"doc {i}") for i, text in enumerate(TEXTS)]
    with UECRetriever.from_documents(
        documents,
        [li_models["static"]],
        tmp_path / "idx",
        recipe=Recipe(pairs()),
        transformations=[TokenTextSplitter(chunk_size=30, chunk_overlap=0)],
        device="cpu",
        similarity_top_k=1,
    ) as retriever:
        [found] = retriever.retrieve(TEXTS[2][:60])
        engine = retriever.engine
        engine.record_judgement("node", found.node_id)
        engine.record_judgement("document", found.node.ref_doc_id)
        nodes = {r.id for r in engine.get() if r.source == found.node.ref_doc_id}
        assert len(nodes) > 1
        assert engine.judgements() == {"node": {found.node_id}, "document": nodes}
        with pytest.raises(InvalidInputError, match="of the id 'doc 6'"):
            engine.record_judgement("node", "doc 6")
