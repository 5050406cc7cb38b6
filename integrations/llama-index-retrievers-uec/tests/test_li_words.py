"""Words as an expert: on by default, told on request, highlighted for citations, left out where that is asked."""

import pytest
from llama_index.core.schema import Document, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.postprocessor.uec import UECRescorer
from llama_index.retrievers.uec import UECRetriever

from tests.engine.small import sentences
from uec_retriever import Engine, LexicalOptions, Recipe
from uec_retriever.errors import InvalidInputError

TEXTS = list(dict.fromkeys(sentences(40, seed=3, words=14)))
QUERY = "which zyzzyva flies"
RARE = "Zyzzyvas: a bird's fly, and a ZYZZYVA"  # no model here knows the word
INCLUDE = ["coefficients", "expert_scores", "matched"]


def text_nodes(rare=RARE, **fields):
    nodes = [TextNode(id_=f"node {i}", text=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]
    return [*nodes, TextNode(id_="rare", text=rare, metadata={"n": 99, **fields})]


def below(n):
    return MetadataFilters(filters=[MetadataFilter(key="n", value=n, operator="<")])


def cited(found):
    return [found.node.text[start:end] for start, end in found.metadata["uec_matched"]]


async def test_words_find_what_no_model_knows(retriever):
    made = retriever(text_nodes(), similarity_top_k=1, candidates=1, include=INCLUDE)
    found = made.retrieve(QUERY)
    assert [n.node_id for n in found] == ["rare"]
    assert await made.aretrieve(QUERY) == found
    trust = found[0].metadata["uec_coefficients"]
    assert list(trust) == ["static", "bert", "words"]
    assert 0 < trust["words"] < 1
    assert sum(trust.values()) == pytest.approx(1)


def test_spans_are_those_of_the_words_in_the_text_that_the_user_sees(retriever):
    made = retriever(text_nodes(), similarity_top_k=20, include=["matched"])
    best = made.retrieve(QUERY)[0]
    assert cited(best) == ["Zyzzyvas", "fly", "ZYZZYVA"]
    assert "matched" not in best.node.get_content(metadata_mode=MetadataMode.LLM)
    for other in made.retrieve("wing layer"):
        assert len(cited(other)) == sum(word in ("wing", "layer") for word in other.node.text.split())


def test_metadata_are_searched_but_spans_are_of_the_text(retriever):
    """LlamaIndex embeds metadata before the text; whoever cites has the text alone."""
    nodes = text_nodes("a bird that flies", title="On zyzzyvas", source="hidden okapi")
    nodes[-1].excluded_embed_metadata_keys = ["source"]
    made = retriever(nodes, similarity_top_k=1, candidates=1, include=["matched", "expert_scores"])
    [found] = made.retrieve(QUERY)
    assert found.node_id == "rare"
    assert cited(found) == ["flies"]
    assert found.metadata["uec_expert_scores"]["words"] > 0.2
    [by_title] = made.retrieve("zyzzyva")
    assert (by_title.node_id, by_title.metadata["uec_matched"]) == ("rare", [])
    [hidden] = made.retrieve("okapi")
    assert hidden.metadata["uec_expert_scores"]["words"] == 0


def test_scores_of_the_experts_are_the_engines(retriever, engine):
    made = retriever(text_nodes(), similarity_top_k=4, include=["expert_scores"])
    several = QueryBundle(QUERY, custom_embedding_strs=[QUERY, "wing"])
    for bundle, texts in ((QueryBundle(QUERY), [QUERY]), (several, several.embedding_strs)):
        expected = engine.search_together(texts, 4, expert_scores=True)
        assert [n.metadata["uec_expert_scores"] for n in made.retrieve(bundle)] == [
            h.expert_scores for h in expected
        ]
    embedding = engine.embed_queries([QUERY])[0].tolist()
    [first, *_] = made.retrieve(QueryBundle("", embedding=embedding))  # has no words
    assert list(first.metadata["uec_expert_scores"]) == ["static", "bert"]
    assert all(set(n.metadata) == {"n"} for n in made.with_options(include=[]).retrieve(QUERY))


def test_a_query_of_stop_words_is_answered_by_the_models(retriever):
    found = retriever(text_nodes(), similarity_top_k=5, include=INCLUDE).retrieve("the of to in")
    assert len(found) == 5
    for node in found:
        assert node.metadata["uec_coefficients"]["words"] == 0
        assert node.metadata["uec_matched"] == []
        assert list(node.metadata["uec_expert_scores"]) == ["static", "bert"]


async def test_filters_hold_for_what_words_find(retriever):
    made = retriever(text_nodes(), similarity_top_k=50)
    others = made.with_options(filters=below(99))
    assert {n.node_id for n in others.retrieve(QUERY)} == {f"node {i}" for i in range(len(TEXTS))}
    assert await others.aretrieve(QUERY) == others.retrieve(QUERY)
    only = MetadataFilters(filters=[MetadataFilter(key="n", value=99)])
    assert [n.node_id for n in made.with_options(filters=only).retrieve("wing")] == ["rare"]


def test_without_words(tmp_path, experts, recipe):
    dense = Recipe(recipe.pairs, recipe.posteriors, lexical=False)
    made = UECRetriever.from_nodes(text_nodes(), experts, tmp_path, dense, include=INCLUDE)
    assert made.engine.manifest.lexical is None
    for node in made.retrieve(QUERY):
        assert list(node.metadata["uec_coefficients"]) == ["static", "bert"]
        assert list(node.metadata["uec_expert_scores"]) == ["static", "bert"]
        assert node.metadata["uec_matched"] == []
    before = [n.node_id for n in made.retrieve(QUERY)]
    made.close()
    with UECRetriever(tmp_path, device="cpu", include=INCLUDE) as opened:  # as it is
        assert [n.node_id for n in opened.retrieve(QUERY)] == before
        assert opened.engine.manifest.lexical is None
    documents = [Document(id_="new", text="the okapi")]
    with UECRetriever.from_documents(documents, location=tmp_path, include=INCLUDE) as added:
        assert added.engine.manifest.lexical is None
        added.engine.use_words()
        best = added.retrieve(QUERY)[0]
        assert best.node_id == "rare"
        assert "words" in best.metadata["uec_coefficients"]
        assert cited(added.retrieve("okapi")[0]) == ["okapi"]


def test_options_of_words(tmp_path, experts, recipe):
    german = LexicalOptions(language="german", share=0.8)
    given = Recipe(recipe.pairs, recipe.posteriors, lexical=german)
    nodes = [TextNode(id_="v", text="die Flügel der Vögel"), TextNode(id_="c", text="cat")]
    made = UECRetriever.from_nodes(nodes, experts, tmp_path, given, include=["matched"])
    assert made.engine.manifest.lexical == german
    assert cited(made.retrieve("vogel")[0]) == ["Vögel"]
    with pytest.raises(InvalidInputError, match="without words.*use_words"):
        UECRetriever.from_nodes(nodes, location=tmp_path, recipe=Recipe(lexical=False))
    assert UECRetriever.from_nodes(nodes, location=tmp_path, recipe=given).engine.count() == 2


def test_where_words_are_asked_for_is_said_before_anything_is_made(tmp_path, experts):
    folder = tmp_path / "index"
    for make in (UECRetriever.from_nodes, UECRetriever.from_documents):
        with pytest.raises(TypeError, match=r"'lexical': give it in the recipe, Recipe\(lexical=\.\.\.\)"):
            make([Document(text="text")], experts, folder, lexical=False)
    with pytest.raises(InvalidInputError, match=r"LexicalOptions\(language=...\)"):
        Recipe(lexical="english")
    with pytest.raises(InvalidInputError, match="klingon"):
        Recipe(lexical=LexicalOptions("klingon"))
    assert not folder.exists()


def test_the_rescorer_sees_words_but_no_hits(retriever, engine):
    made = retriever(text_nodes(), similarity_top_k=10, include=["matched"])
    given = [NodeWithScore(node=node) for node in text_nodes()]
    rescorer = UECRescorer(engine=engine, include=["coefficients"], top_n=3)
    found = rescorer.postprocess_nodes(given, query_str=QUERY)
    assert found[0].node_id == "rare"
    assert found[0].metadata["uec_coefficients"]["words"] > 0
    for name in ("matched", "expert_scores"):
        with pytest.raises(InvalidInputError, match=f"got '{name}'"):
            UECRescorer(engine=engine, include=[name])
    assert cited(rescorer.postprocess_nodes(made.retrieve(QUERY), query_str=QUERY)[0]) == [
        "Zyzzyvas",
        "fly",
        "ZYZZYVA",
    ]  # an earlier stage knew them


def test_one_index_serves_engine_and_retriever(retriever, engine, tmp_path):
    """What one of them adds, words of the other find."""
    made = retriever(text_nodes()[:-1], similarity_top_k=1)
    with Engine.open(tmp_path / "index", device="cpu") as other:
        other.add(["a zyzzyva"], ["z"])
    assert made.retrieve(QUERY)[0].node_id == "z"
    made.delete(["z"])
    assert made.retrieve(QUERY)[0].node_id != "z"
    changed = text_nodes()[:1]
    changed[0].text = "okapi"
    made.add_nodes(changed)
    assert made.retrieve("okapis")[0].node_id == "node 0"
