"""The names of countries as people say them; the table of the time zones sorts some of them by their second word."""

from __future__ import annotations

from functools import cache

from webapp.lib.countries import country_names

SAID = {"GB": "United Kingdom", "KR": "South Korea", "KP": "North Korea", "CD": "DR Congo", "AS": "American Samoa"}


def country_name(code: str) -> str:
    """The name of a country; a code that is not known stays as it is."""
    return SAID.get(code) or country_names().get(code, code)


def country_code(name: str) -> str | None:
    """The code of a name, in whatever case."""
    return _codes().get(name.casefold())


@cache
def _codes() -> dict[str, str]:
    return {name.casefold(): code for code, name in [*country_names().items(), *SAID.items()]}
