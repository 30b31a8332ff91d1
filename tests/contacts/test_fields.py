"""What fits into a contact's fields, and what is said about what does not."""

from __future__ import annotations

import pytest

from webapp.contacts.fields import FIELDS_BY_NAME, KEY_FIELD
from webapp.lib.keys import fold_key
from webapp.records.fields import NO_CONTEXT


@pytest.mark.parametrize(
    "address",
    ["a@example.com", "first.last+tag@mail.example.co.uk", "o'brien@example.ie", "zoë@müller.example", "a_b-c@x-y.io"],
)
def test_an_address_is_kept(address: str) -> None:
    assert KEY_FIELD.fault_of(address) is None


@pytest.mark.parametrize(
    "text",
    ["plain", "a@b", "a@@example.com", "a b@example.com", "@example.com", "a@example.", "a@-x.com", "a@ex ample.com",
     "<a@example.com>", "a@example.com, b@example.com", "a" * 65 + "@example.com"],
)  # fmt: skip
def test_what_is_no_address_is_named(text: str) -> None:
    assert KEY_FIELD.fault_of(text) == f"“{text if len(text) <= 60 else text[:57] + '…'}” is not an e-mail address."


def test_a_blank_address_is_missing_and_a_blank_name_is_fine() -> None:
    assert KEY_FIELD.fault_of("") == "E-mail is missing."
    assert FIELDS_BY_NAME["city"].fault_of("") is None


def test_a_text_that_is_too_long_says_how_much_fits() -> None:
    assert FIELDS_BY_NAME["city"].fault_of("x" * 1_000_000) == "City has 1,000,000 characters; at most 200 fit."


def test_the_character_zero_is_refused() -> None:
    assert "U+0000" in (FIELDS_BY_NAME["city"].fault_of("a\x00b") or "")


def test_a_column_tells_the_place_of_each_fault() -> None:
    faults = KEY_FIELD.convert(["a@example.com", "", "nobody", "b@example.com"], NO_CONTEXT)[1]
    assert faults == [(1, "E-mail is missing."), (2, "“nobody” is not an e-mail address.")]


def test_a_faultless_column_has_none() -> None:
    assert FIELDS_BY_NAME["city"].convert(["Oslo", "", "Oslo"], NO_CONTEXT) == (["Oslo", "", "Oslo"], [])


def test_two_spellings_of_one_address_have_one_key() -> None:
    assert fold_key("Zoë@Example.com") == fold_key("zoë@example.COM")
