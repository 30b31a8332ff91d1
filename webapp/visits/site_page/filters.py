"""Filters as the page's address writes them: `where=country:is:GB`, once for each value. Pure.

Values of the same field under the same comparison are alternatives; different ones must all hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from webapp.lib.texts import is_keepable
from webapp.visits.models import Site
from webapp.visits.questions import FIELDS, Filter, Operator
from webapp.visits.site_page.fields import LABELS, PAGE_FIELDS, PROPERTY_SEPARATOR, shown_value
from webapp.visits.site_page.places import country_code

FILTERS_LIMIT = 20
VALUE_LIMIT = 2_000
WORDS = {
    Operator.IS: "is",
    Operator.IS_NOT: "is not",
    Operator.BEGINS: "begins with",
    Operator.CONTAINS: "contains",
}


class BadFilterError(ValueError):
    """This is no filter; the message says why."""


@dataclass(frozen=True)
class Chip:
    """A filter in words, and what stands for it in the address."""

    text: str
    texts: tuple[str, ...]


def read_filters(texts: Iterable[str]) -> tuple[Filter, ...]:
    """The filters of an address, each field and comparison once; raises BadFilterError."""
    merged: dict[tuple[str, Operator], list[str]] = {}
    for text in texts:
        field, operator, value = _split(text)
        values = merged.setdefault((field, operator), [])
        if value not in values:
            values.append(value)
    if sum(len(values) for values in merged.values()) > FILTERS_LIMIT:
        raise BadFilterError(f"At most {FILTERS_LIMIT} filters can be combined.")
    return tuple(Filter(field, operator, tuple(values)) for (field, operator), values in merged.items())


def write_filters(filters: Iterable[Filter]) -> list[str]:
    """As `read_filters` reads them."""
    return [write_filter(one.field, one.operator, value) for one in filters for value in one.values]


def write_filter(field: str, operator: Operator, value: str) -> str:
    """One value of one filter."""
    return f"{field}:{operator.value}:{value}"


def with_origins(filters: Iterable[Filter], origins: Sequence[str]) -> tuple[Filter, ...]:
    """Pages are kept by their whole address: a path that a filter names is one on each of the site's origins.

    Where there are none it stays a path, which raw rows compare with that of each page, whatever its host.
    """
    return tuple(
        Filter(one.field, one.operator, _with_origins(one, origins)) if one.field in PAGE_FIELDS else one
        for one in filters
    )


def origins_of(sites: Iterable[Site]) -> list[str]:
    """Where a path may be, on these sites; none where one of them takes visits from anywhere: then on any host."""
    found = [site.origins for site in sites]
    return sorted({origin for origins in found for origin in origins}) if all(found) else []


def chips_of(filters: Iterable[Filter]) -> list[Chip]:
    """Each filter in words."""
    return [Chip(words_of(one), tuple(write_filters([one]))) for one in filters]


def words_of(one: Filter) -> str:
    """A filter in words: Country is Germany or France."""
    values = " or ".join(shown_value(one.field, value) for value in one.values)
    return f"{LABELS[one.field]} {WORDS[one.operator]} {values}"


def written_page(typed: str) -> str:
    """A page as people type it, pricing, as the path that visits keep; whole addresses and parts (*thanks*) stay."""
    typed = typed.strip()
    return typed if not typed or typed.startswith(("/", "*")) or "://" in typed else f"/{typed}"


def _with_origins(one: Filter, origins: Sequence[str]) -> tuple[str, ...]:
    if one.operator is Operator.CONTAINS:
        return one.values
    return tuple(
        f"{origin}{value}" if value.startswith("/") else value
        for value in one.values
        for origin in (origins if origins and value.startswith("/") else [""])
    )


def _split(text: str) -> tuple[str, Operator, str]:
    field, _, rest = text.partition(":")
    comparison, _, value = rest.partition(":")
    if field not in FIELDS:
        raise BadFilterError(f"Visits can't be filtered by “{field[:40]}”.")
    if len(value) > VALUE_LIMIT or not is_keepable(value):
        raise BadFilterError("A filter's value is too long, or holds what no text can hold.")
    try:
        return field, Operator(comparison), value.strip()
    except ValueError as error:
        raise BadFilterError(f"A filter can't compare by “{comparison[:40]}”.") from error


def written_value(field: str, typed: str, operator: str = Operator.IS.value) -> str:
    """What a person types, as visits keep it: Germany as DE, Desktop as desktop, pricing as /pricing."""
    typed = typed.strip()
    if field in PAGE_FIELDS and operator != Operator.CONTAINS.value:
        return written_page(typed)
    if field == "country":
        return country_code(typed) or (typed.upper() if len(typed) == len("DE") else typed)
    if field == "property":
        return PROPERTY_SEPARATOR.join(part.strip() for part in typed.split("·"))
    return typed.lower() if field in {"device", "channel", "language"} else typed
