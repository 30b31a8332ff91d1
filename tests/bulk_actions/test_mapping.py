"""Columns find their fields by name, and e-mail and phone by what stands in them."""

from __future__ import annotations

import pytest

from webapp.bulk_actions.mapping import MappingError, check_mapping, fingerprint, match_columns
from webapp.contacts.models import CONTACTS


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("E-Mail", "email"),
        ("  e_mail ADDRESS", "email"),
        ("Mail", "email"),
        ("Given Name", "first_name"),
        ("surname", "last_name"),
        ("Mobile phone", "phone"),
        ("Organization", "company"),
        ("Position", "job_title"),
        ("Town", "city"),
        ("Prénom", "first_name"),
        ("Shoe size", None),
    ],
)
def test_a_column_is_matched_by_any_spelling_of_its_field(name: str, field: str | None) -> None:
    assert match_columns(["Email", name], [], CONTACTS)["1" if field != "email" else "0"] == field


def test_the_first_of_two_columns_for_one_field_gets_it() -> None:
    assert match_columns(["Email", "E-mail address"], [], CONTACTS) == {"0": "email", "1": None}


def test_a_column_of_addresses_is_found_whatever_its_name() -> None:
    rows = [["x", "a@example.com"], ["y", ""], ["z", "b@example.com"]]
    assert match_columns(["Name?", "Login"], rows, CONTACTS) == {"0": None, "1": "email"}


def test_a_column_of_phone_numbers_is_found_whatever_its_name() -> None:
    rows = [
        ["a@example.com", "5", "+49 30 1234567"],
        ["b@example.com", "+6", ""],
        ["c@example.com", "7", "+4930 99 88"],
    ]
    assert match_columns(["X", "Points", "Kontakt"], rows, CONTACTS) == {"0": "email", "1": None, "2": "phone"}
    assert match_columns(["X", "Phone", "Kontakt"], rows, CONTACTS) == {"0": "email", "1": "phone", "2": None}


def test_numbers_that_are_dialled_in_one_country_alone_may_be_anything() -> None:
    assert match_columns(["Mail", "Number"], [["a@example.com", "030 1234567"]], CONTACTS)["1"] is None


def test_fewer_than_half_of_a_column_do_not_make_it_the_phones() -> None:
    rows = [["a@example.com", "+49 30 1234567"], ["b@example.com", "none"], ["c@example.com", "call me"]]
    assert match_columns(["Mail", "Remark"], rows, CONTACTS)["1"] is None


def test_a_mapping_without_the_key_is_refused() -> None:
    with pytest.raises(MappingError, match="No column is matched to “E-mail”"):
        check_mapping({"0": "first_name"}, 2, CONTACTS)


def test_two_columns_for_one_field_are_refused() -> None:
    with pytest.raises(MappingError, match="Two columns are matched to “City”"):
        check_mapping({"0": "email", "1": "city", "2": "city"}, 3, CONTACTS)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(MappingError, match="no field called “shoe”"):
        check_mapping({"0": "email", "1": "shoe"}, 2, CONTACTS)


def test_columns_beyond_the_file_are_dropped_and_missing_ones_ignored() -> None:
    assert check_mapping({"0": "email", "7": "city"}, 2, CONTACTS) == {"0": "email", "1": None}


def test_a_header_is_known_again_in_other_capitals() -> None:
    assert fingerprint(["E-Mail", "City"]) == fingerprint(["email", " CITY "])
    assert fingerprint(["E-Mail", "City"]) != fingerprint(["City", "E-Mail"])
