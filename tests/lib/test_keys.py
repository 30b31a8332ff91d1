"""Spellings of one thing have one key."""

from __future__ import annotations

import pytest

from webapp.lib.keys import fold_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("SKU-17B", "sku-17b"),
        ("Jos\u00e9@example.com", "jose\u0301@example.com"),
        ("\u00c5NGSTR\u00d6M-1", "a\u030angstro\u0308m-1"),
    ],
)
def test_case_and_the_encoding_of_accents_make_no_difference(one: str, other: str) -> None:
    assert fold_key(one) == fold_key(other)


@pytest.mark.parametrize(("one", "other"), [("ada@example.com", "ada@example.org"), ("sku-1", "sku 1"), ("é", "e")])
def test_different_things_stay_different(one: str, other: str) -> None:
    assert fold_key(one) != fold_key(other)


@pytest.mark.parametrize("text", ["Ada@Example.com", "STRASSE", "Ωμέγα", "İstanbul", ""])
def test_a_key_is_its_own_key(text: str) -> None:
    assert fold_key(fold_key(text)) == fold_key(text)
