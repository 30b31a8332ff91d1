"""A site's settings: what each may be, and in which words it is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from webapp.accounts.time_zones import TIME_ZONES
from webapp.lib.countries import country_names
from webapp.visits.collecting.signatures import make_secret
from webapp.visits.models import Site
from webapp.visits.service import BadSiteError, check_name, origin_of
from webapp.visits.site_page.places import country_code

ORIGINS_LIMIT = 50
LIST_LIMIT = 200
RETENTION_DAYS = range(7, 3651)
"""A week at least: whoever looks on Monday wants to see the weekend, and visits may be reported days late."""
RATE_LIMITS = range(1, 1_000_001)
KEY_LIMIT = 100
PATTERN_LIMIT = 500
_KEY = re.compile(r"[^\s&=#\x00-\x1f\x7f]+")
_PATTERN = re.compile(r"[/*][^\s?#\x00-\x1f\x7f]*")


class BadSettingsError(ValueError):
    """Some settings cannot be like this: for each field, what is wrong and what to do."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class _WrongError(ValueError):
    """One setting cannot be like this."""


def change_site(site: Site, wanted: Mapping[str, Any]) -> None:
    """Set what is wanted, all of it or nothing; raises BadSettingsError."""
    checked: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, value in wanted.items():
        try:
            checked[name] = CHECKS[name](value)
        except (BadSiteError, _WrongError) as error:
            errors[name] = str(error)
    if errors:
        raise BadSettingsError(errors)
    for name, value in checked.items():
        setattr(site, name, value)


def replace_secret(site: Site) -> None:
    """A new secret: what was signed with the old one is refused once the edge knows."""
    site.identify_secret = make_secret()


def _origins(addresses: Sequence[str]) -> list[str]:
    origins = _unique([origin_of(address) for address in addresses])
    if not 1 <= len(origins) <= ORIGINS_LIMIT:
        raise _WrongError(f"Give 1 to {ORIGINS_LIMIT} addresses, as in https://shop.example.")
    return origins


def _time_zone(name: str) -> str:
    if name not in TIME_ZONES:
        raise _WrongError("Choose a time zone from the list, as in Europe/Vienna.")
    return name


def _retention_days(days: int | None) -> int | None:
    if days is not None and days not in RETENTION_DAYS:
        raise _WrongError(f"Keep them for {RETENTION_DAYS[0]} to {RETENTION_DAYS[-1]:,} days, or for ever.")
    return days


def _rate_limit(per_second: int) -> int:
    if per_second not in RATE_LIMITS:
        raise _WrongError(f"Give a whole number from 1 to {RATE_LIMITS[-1]:,}.")
    return per_second


def _query_keys(keys: Sequence[str]) -> list[str]:
    return _list(keys, _query_key)


def _query_key(key: str) -> str:
    if len(key) > KEY_LIMIT or not _KEY.fullmatch(key):
        raise _WrongError(f"{key!r} is no query key. In /search?q=shoes the key is q.")
    return key


def _excluded_pages(patterns: Sequence[str]) -> list[str]:
    return _list(patterns, _pattern)


def _pattern(pattern: str) -> str:
    if len(pattern) > PATTERN_LIMIT or not _PATTERN.fullmatch(pattern):
        raise _WrongError(f"{pattern!r} is no path. Write paths as in /admin or /drafts/*, without ? and #.")
    return pattern


def _excluded_addresses(addresses: Sequence[str]) -> list[str]:
    return _list(addresses, _network)


def _network(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise _WrongError(f"{text!r} is no IP address and no range, as in 203.0.113.7 or 2001:db8::/32.") from error
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _excluded_countries(said: Sequence[str]) -> list[str]:
    return _list(said, _country)


def _country(said: str) -> str:
    """The code of a country, by itself or by its name."""
    code = said.upper() if said.upper() in country_names() else country_code(said)
    if code is None:
        raise _WrongError(f"{said!r} is no country, as in Austria, and no country's code, as in AT.")
    return code


def _list(values: Sequence[str], check: Callable[[str], str]) -> list[str]:
    checked = _unique([check(value) for value in values])
    if len(checked) > LIST_LIMIT:
        raise _WrongError(f"At most {LIST_LIMIT} may be listed.")
    return checked


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": check_name,
    "origins": _origins,
    "time_zone": _time_zone,
    "retention_days": _retention_days,
    "query_keys": _query_keys,
    "excluded_pages": _excluded_pages,
    "excluded_addresses": _excluded_addresses,
    "excluded_countries": _excluded_countries,
    "drops_bots": bool,
    "respects_dnt": bool,
    "is_cookieless": bool,
    "counts_fragments": bool,
    "rate_limit": _rate_limit,
}
"""Every setting that people and programs may change, and what it is kept as."""
