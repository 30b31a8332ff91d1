"""The country of an address, out of a file that set-up installs; and what else an address is asked for.

Addresses are looked at here and go no further: neither the stream nor a table ever holds one.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

import maxminddb

from webapp.lib.addresses import read_address

REMEMBERED = 50_000
IPV6_OF_ONE = 64
"""A household or a server is given so many bits of an address at least: whoever counts single ones counts nobody."""

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """An address as it can be compared, the country where it is in use ('' for none), and who shares its limit."""

    address: str
    number: IPv4Address | IPv6Address | None
    country: str
    limit_key: str


NOWHERE = Place("", None, "", "")


class Countries:
    """The database of addresses. Without its file everything works, and no country is known."""

    def __init__(self, path: Path) -> None:
        self._reader: maxminddb.Reader | None = None
        try:
            self._reader = maxminddb.open_database(path)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            logger.warning("No countries are known, since %s cannot be read (make setup installs it): %s", path, error)
        self.place_of = lru_cache(REMEMBERED)(self._place_of)

    def _place_of(self, text: str) -> Place:
        number = read_address(text)
        if number is None:
            return NOWHERE
        address = str(number)
        return Place(address, number, self._country_of(number), _limit_key(number))

    def _country_of(self, number: IPv4Address | IPv6Address) -> str:
        if self._reader is None or not number.is_global:
            return ""
        found = self._reader.get(number)
        country = found.get("country_code") if isinstance(found, dict) else None
        return country if isinstance(country, str) and len(country) == 2 else ""


def _limit_key(number: IPv4Address | IPv6Address) -> str:
    if isinstance(number, IPv4Address):
        return str(number)
    return (number.packed[: IPV6_OF_ONE // 8]).hex()
