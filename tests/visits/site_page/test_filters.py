"""Filters as the address writes them."""

from __future__ import annotations

import pytest

from webapp.visits.questions import Filter, Operator
from webapp.visits.site_page.fields import plural, shown_value
from webapp.visits.site_page.filters import (
    BadFilterError,
    read_filters,
    with_origins,
    words_of,
    write_filters,
    written_value,
)

ORIGINS = ["https://shop.example", "https://www.shop.example"]


def test_values_of_one_field_and_comparison_are_alternatives_and_all_else_must_hold() -> None:
    filters = read_filters(
        ["country:is:GB", "page:begins:/blog", "country:is:DE", "country:is_not:FR", "country:is:GB"]
    )
    assert filters == (
        Filter("country", Operator.IS, ("GB", "DE")),
        Filter("page", Operator.BEGINS, ("/blog",)),
        Filter("country", Operator.IS_NOT, ("FR",)),
    )
    assert read_filters(write_filters(filters)) == filters


def test_a_value_may_hold_colons_and_be_empty() -> None:
    assert read_filters(["page:is:https://shop.example/a:b", "referrer:is:"]) == (
        Filter("page", Operator.IS, ("https://shop.example/a:b",)),
        Filter("referrer", Operator.IS, ("",)),
    )


@pytest.mark.parametrize(
    "text", ["", "weather:is:sunny", "country:like:GB", "country", "page:is:\x00", "page:is:" + "x" * 3000]
)
def test_what_is_no_filter_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(BadFilterError):
        read_filters([text])


def test_there_is_a_bound_to_how_many_are_combined() -> None:
    with pytest.raises(BadFilterError, match="At most 20"):
        read_filters([f"page:is:/{number}" for number in range(21)])


def test_a_path_stands_for_itself_on_each_of_the_sites_origins() -> None:
    one = Filter("page", Operator.IS, ("/pricing", "https://other.example/"))
    assert with_origins([one], ORIGINS)[0].values == (
        "https://shop.example/pricing",
        "https://www.shop.example/pricing",
        "https://other.example/",
    )
    contains = Filter("page", Operator.CONTAINS, ("/pricing",))
    assert with_origins([contains], ORIGINS) == (contains,)


def test_filters_and_values_are_said_in_plain_words() -> None:
    assert words_of(Filter("country", Operator.IS, ("DE", "FR"))) == "Country is Germany or France"
    assert words_of(Filter("referrer", Operator.IS_NOT, ("",))) == "Referrer is not Direct"
    assert shown_value("language", "en-gb") == "English (United Kingdom)"
    assert shown_value("language", "tlh") == "tlh"
    assert shown_value("property", "sign-up\x1fplan\x1fpro") == "sign-up · plan · pro"
    assert plural("country") == "Countries"


def test_what_people_type_becomes_what_visits_keep() -> None:
    assert written_value("country", " germany ") == "DE"
    assert written_value("country", "gb") == written_value("country", "United Kingdom") == "GB"
    assert written_value("device", "Mobile") == "mobile"
    assert written_value("property", "sign-up · plan · pro") == "sign-up\x1fplan\x1fpro"
    assert written_value("page", "/Pricing ") == "/Pricing"
    assert written_value("entry_page", " pricing", "begins") == "/pricing"
    assert written_value("page", "https://shop.example/") == "https://shop.example/"
    assert written_value("page", "pricing", "contains") == "pricing"
