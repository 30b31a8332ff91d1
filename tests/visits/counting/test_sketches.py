"""Sketches of visitors: exact while small however they were merged, and close beyond."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.visits.counting.sketches import ERROR_PERCENT, EXACT_LIMIT, count_visitors, is_estimate, merge, sketch_of

NUMBERS = st.integers(-(2**63), 2**63 - 1)


@given(
    st.lists(st.sets(NUMBERS, max_size=120), max_size=6).filter(lambda parts: len(set().union(*parts)) <= EXACT_LIMIT),
    st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None)
def test_small_ones_are_exact_in_any_order_and_company(parts: list[set[int]], chance: random.Random) -> None:
    sketches = [sketch_of(part) for part in parts] + [sketch_of(parts[0])] * 2 if parts else []
    chance.shuffle(sketches)
    truth = len(set().union(*parts))
    assert count_visitors(sketches) == truth
    merged = sketches
    while len(merged) > 1:  # as batch after batch does
        merged = [merge(merged[:2]), *merged[2:]]
    assert count_visitors(merged) == truth
    assert not is_estimate(truth)


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_that_is_called_exact_is(seed: int) -> None:
    chance = random.Random(seed)
    visitors = [chance.getrandbits(64) - 2**63 for _ in range(EXACT_LIMIT)]
    one_by_one = sketch_of([])
    for visitor in visitors:
        one_by_one = merge([one_by_one, sketch_of([visitor])])
    assert count_visitors([one_by_one]) == count_visitors([sketch_of(visitors)]) == EXACT_LIMIT
    assert is_estimate(EXACT_LIMIT + 1)


def test_larger_ones_are_within_the_error_that_is_said() -> None:
    chance, errors = random.Random(1), []
    for truth in (400, 1_000, 5_000, 20_000, 100_000):
        for _ in range(20):
            visitors = [chance.getrandbits(64) - 2**63 for _ in range(truth)]
            halves = [sketch_of(visitors[: truth * 2 // 3]), sketch_of(visitors[truth // 3 :])]
            errors.append(abs(count_visitors([merge(halves)]) - truth) / truth * 100)
    assert sum(error <= ERROR_PERCENT for error in errors) >= 0.95 * len(errors)
    assert max(errors) < 2 * ERROR_PERCENT
