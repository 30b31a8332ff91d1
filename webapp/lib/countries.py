"""The names of countries, from the table that comes with the time zones."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# Regions of telephony that ISO 3166 does not list as countries.
OTHERS = {"AC": "Ascension Island", "TA": "Tristan da Cunha", "XK": "Kosovo"}


@cache
def country_names() -> dict[str, str]:
    """English names by ISO 3166 code of two letters."""
    text = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return {row[0]: row[1] for row in rows} | OTHERS
