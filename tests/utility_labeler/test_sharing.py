"""Forests of shared beginnings, and their parts, against naive counts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uec_retriever.utility_labeler.sharing import forest, parts

SEQUENCES = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple), min_size=1, max_size=12
).map(sorted)


def tokens_of(segments, number):
    """A segment's tokens after all that it goes on from."""
    segment = segments[number]
    before = () if segment.parent is None else tokens_of(segments, segment.parent)
    assert len(before) == segment.depth
    return before + segment.tokens


def total(segments):
    return sum(len(s.tokens) for s in segments)


@settings(deadline=None)
@given(SEQUENCES, st.sampled_from([None, 0, 1, 3, 100]))
def test_every_sequence_is_made_of_segments(sequences, saving):
    segments = forest(sequences, [len(s) - 1 for s in sequences], saving)
    ends = {s.sequence: tokens_of(segments, i) for i, s in enumerate(segments) if s.sequence is not None}
    assert [ends[i] for i in range(len(sequences))] == sequences
    assert all(s.tokens and (s.parent is None or s.parent < i) for i, s in enumerate(segments))
    if saving is None:
        assert len(segments) == len(sequences)


@settings(deadline=None)
@given(SEQUENCES)
def test_what_may_be_shared_is_run_once(sequences):
    """All but each last token: as many as there are distinct proper beginnings."""
    segments = forest(sequences, [len(s) - 1 for s in sequences], 1)
    distinct = {s[:end] for s in sequences for end in range(1, len(s))}
    assert total(segments) == len(distinct) + len(sequences)


def test_what_may_not_be_shared_or_saves_little_is_not():
    sequences = [(1, 2, 3, 4, 5), (1, 2, 3, 4, 6), (1, 2, 3, 7)]
    assert total(forest(sequences, [4, 4, 3], 1)) == 7
    assert total(forest(sequences, [2, 4, 3], 1)) == 2 + 3 + (1 + 2 + 1)  # 2 for all, one more for two
    assert total(forest(sequences, [4, 4, 3], 7)) == 14


@settings(deadline=None)
@given(SEQUENCES, st.integers(1, 30))
def test_parts_hold_every_sequence_once_within_the_budget(sequences, budget):
    segments = forest(sequences, [len(s) - 1 for s in sequences], 1)
    found = []
    for part in parts(segments, budget):
        ends = [i for i, s in enumerate(part) if s.sequence is not None]
        found += [(part[i].sequence, tokens_of(part, i)) for i in ends]
        assert total(part) <= budget or len(ends) == 1
        assert all(any(s.parent == i for s in part) or i in ends for i in range(len(part)))
    assert sorted(found) == list(enumerate(sequences))


@pytest.mark.parametrize(("budget", "sizes"), [(1000, [6]), (40, [3, 3]), (47, [3, 3])])
def test_parts_end_where_little_is_repeated(budget, sizes):
    """Two passages of 30 tokens with three questions each."""
    passages = [tuple(range(10, 40)), tuple(range(50, 80))]
    sequences = [(*p, i, i) for p in passages for i in range(3)]
    segments = forest(sequences, [31] * 6, 8)
    assert [sum(s.sequence is not None for s in part) for part in parts(segments, budget)] == sizes
