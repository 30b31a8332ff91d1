"""A site's settings as the door needs them, and what they make of a page's address. Pure.

Pages are few and beacons many: what an address says is worked out once while it is in use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple
from urllib.parse import unquote_plus

from webapp.visits.click_ids import CHANNEL_OF_CLICK_ID
from webapp.visits.collecting.countries import Place
from webapp.visits.collecting.refusals import RefusedError

URL_LIMIT = 2048
CAMPAIGN_LIMIT = 200
REMEMBERED = 20_000
REMEMBERED_LENGTH = 300
CAMPAIGN_KEYS = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_PAGE_URL = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#@\\\x00-\x20\x7f]+(?:[/?#][^\s\x00-\x20\x7f]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Address(NamedTuple):
    """What a page's address says: where it is (as far as the site wants to know), and what brought the visitor."""

    page_url: str
    utm_source: str
    utm_medium: str
    utm_campaign: str
    utm_term: str
    utm_content: str
    click_id: str
    is_excluded: bool


@dataclass(frozen=True, eq=False)
class SiteRules:
    """What a site takes, and how. Equal settings are one object (see `make_rules`), which makes looking up cheap."""

    origins: frozenset[str]
    query_keys: frozenset[str]
    excluded_pages: tuple[tuple[str, ...], ...]
    excluded_networks: tuple[IPv4Network | IPv6Network, ...]
    excluded_countries: frozenset[str]
    drops_bots: bool
    respects_dnt: bool
    is_cookieless: bool
    counts_fragments: bool
    identify_secret: str
    rate_limit: int
    is_deleted: bool

    def allows(self, origin: str | None) -> bool:
        """Whether a page of this origin may report; who sends no origin is no browser."""
        return origin is None or not self.origins or origin.lower() in self.origins

    def excludes(self, place: Place) -> bool:
        """Whether this address is one that the site leaves out."""
        number = place.number
        return number is not None and any(number in network for network in self.excluded_networks)

    def read(self, url: str) -> Address:
        """What a page's address says; raises RefusedError for one that is none."""
        return _read(self, url) if len(url) <= REMEMBERED_LENGTH else _read.__wrapped__(self, url)


@lru_cache(50_000)
def make_rules(
    origins: tuple[str, ...],
    query_keys: tuple[str, ...],
    excluded_pages: tuple[str, ...],
    excluded_addresses: tuple[str, ...],
    excluded_countries: tuple[str, ...],
    drops_bots: bool,
    respects_dnt: bool,
    is_cookieless: bool,
    counts_fragments: bool,
    identify_secret: str,
    rate_limit: int,
    deleted_at: datetime | None = None,
) -> SiteRules:
    """The rules of these settings, in the order of `site_directory.SETTINGS`."""
    return SiteRules(
        origins=frozenset(origin.lower() for origin in origins),
        query_keys=frozenset(query_keys),
        excluded_pages=tuple(tuple(pattern.split("*")) for pattern in excluded_pages),
        excluded_networks=tuple(ip_network(address, strict=False) for address in excluded_addresses),
        excluded_countries=frozenset(excluded_countries),
        drops_bots=drops_bots,
        respects_dnt=respects_dnt,
        is_cookieless=is_cookieless,
        counts_fragments=counts_fragments,
        identify_secret=identify_secret,
        rate_limit=rate_limit,
        is_deleted=deleted_at is not None,
    )


def matches(pattern: tuple[str, ...], path: str) -> bool:
    """Whether a path is of this pattern: its texts one after another, with anything for each * between them.

    Each text is looked for once from where the one before it ends, so no pattern can be made slow to match.
    """
    head, *rest = pattern
    if not rest:
        return path == head
    *middle, last = rest
    if not path.startswith(head):
        return False
    position = len(head)
    for part in middle:
        position = path.find(part, position) + len(part)
        if position < len(part):
            return False
    return path.endswith(last) and len(path) - len(last) >= position


@lru_cache(REMEMBERED)
def _read(rules: SiteRules, url: str) -> Address:
    if len(url) > URL_LIMIT or not _PAGE_URL.fullmatch(url):
        detail = f"`pageUrl` must be an http:// or https:// address of at most {URL_LIMIT} characters."
        raise RefusedError(422, "bad-page-url", detail)
    address, _, fragment = url.partition("#")
    page, _, query = address.partition("?")
    path = "/" + page.split("://", 1)[1].partition("/")[2]
    is_excluded = any(matches(pattern, path) for pattern in rules.excluded_pages)
    pairs = [(*pair.partition("=")[::2], pair) for pair in query.split("&") if pair] if query else []
    kept = sorted(pair for key, _, pair in pairs if unquote_plus(key) in rules.query_keys)
    if kept:
        page = f"{page}?{'&'.join(kept)}"
    if fragment and rules.counts_fragments:
        page = f"{page}#{fragment}"
    return Address(page, *_campaign(pairs), is_excluded)


def _campaign(pairs: list[tuple[str, str, str]]) -> tuple[str, str, str, str, str, str]:
    """The five words of a campaign, and the name of the click id; the first of each counts."""
    found: dict[str, str] = {}
    click_id = ""
    for key, value, _ in pairs:
        name = key.lower()
        if name in CHANNEL_OF_CLICK_ID:
            click_id = click_id or name
        elif name.startswith("utm_") and name not in found:
            found[name] = _CONTROL.sub("", unquote_plus(value)).strip()[:CAMPAIGN_LIMIT]
    source, medium, campaign, term, content = (found.get(key, "") for key in CAMPAIGN_KEYS)
    return source, medium, campaign, term, content, click_id
