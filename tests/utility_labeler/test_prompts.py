import pytest

from uec_retriever.errors import InvalidInputError
from uec_retriever.utility_labeler.prompts import CHAT, PLAIN, Prompt, default_prompts


def test_braces_in_texts_are_left_alone():
    prompt = Prompt("P {passage} Q {question}", "Q {question}")
    assert prompt.render("{passage}?", "{question} {x} {") == "P {question} {x} { Q {passage}?"
    assert prompt.render("{passage}?", None) == "Q {passage}?"
    assert prompt.render("q", "") == "P  Q q"


@pytest.mark.parametrize(
    ("templates", "name"),
    [
        (("{question}", "{question}"), "with_passage"),
        (("{passage}", "{question}"), "with_passage"),
        (("{passage} {question}", "{passage} {question}"), "without_passage"),
        (("{passage} {question}", "what"), "without_passage"),
    ],
)
def test_places_are_checked(templates, name):
    with pytest.raises(InvalidInputError, match=name):
        Prompt(*templates)


def test_the_passage_comes_first_in_all_of_ours():
    for prompt in (*PLAIN, *CHAT):
        assert prompt.with_passage.index("{passage}") < prompt.with_passage.index("{question}")
    assert len(set(PLAIN)) == len(set(CHAT)) == 3


def test_json():
    for prompt in (*PLAIN, *CHAT):
        assert Prompt.from_dict(prompt.to_dict()) == prompt
    for row in (
        {"with_passage": "{passage} {question}"},
        {"with_passage": "{passage} {question}", "without_passage": "{question}", "x": 1},
        {"with_passage": "{passage} {question}", "without_passage": "{question}", "chat": "yes"},
        {"with_passage": "{passage} {question}", "without_passage": "{question}", "system": "be kind"},
    ):
        with pytest.raises(InvalidInputError):
            Prompt.from_dict(row)


def test_number_of_paraphrases():
    assert default_prompts(chat=True, paraphrases=2) == CHAT[:2]
    with pytest.raises(InvalidInputError, match="1 to 3"):
        default_prompts(chat=True, paraphrases=4)
