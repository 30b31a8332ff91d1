"""The verbs over sites."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from webapp.extensions import db
from webapp.lib.ids import uuid7
from webapp.visits.collecting.site_keys import make_site_key
from webapp.visits.models import Site

NAME_LIMIT = 100
DEFAULT_PORTS = {"http": 80, "https": 443}
EXAMPLE = "as in https://shop.example"
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(
    r"(?=.{1,254}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?"
)
_LOCAL = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::|/|$)", re.IGNORECASE)
"""Where people try things on their own machine, and hardly ever over https."""
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class BadSiteError(ValueError):
    """A site cannot be made like this; `field` is what is wrong, the message says why and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def create_site(organisation_id: UUID, name: str, origin: str, time_zone: str = "UTC") -> Site:
    """A new site that takes visits from one origin; raises BadSiteError."""
    site = Site(
        organisation_id=organisation_id,
        id=uuid7(),
        name=check_name(name),
        site_key=make_site_key(organisation_id),
        origins=[origin_of(origin)],
        time_zone=time_zone,
    )
    db.session.add(site)
    db.session.flush()
    return site


def check_name(name: str) -> str:
    """A site's name; raises BadSiteError."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_LIMIT:
        raise BadSiteError("name", f"A site needs a name of at most {NAME_LIMIT} characters.")
    if _UNWRITABLE.search(name):
        raise BadSiteError("name", "A site's name cannot hold line breaks, tabs or other control characters.")
    return name


def origin_of(address: str) -> str:
    """Scheme, host and port of an address, as a browser's Origin header writes them; raises BadSiteError.

    What no browser ever sends is refused rather than kept: such a site would never be heard from.
    """
    parts = _split(_with_scheme(address.strip()))
    host = _host_of(parts)
    port = f":{parts.port}" if parts.port not in {None, DEFAULT_PORTS[parts.scheme]} else ""
    return f"{parts.scheme}://{host}{port}"


def _with_scheme(address: str) -> str:
    """An address as people say it, shop.example, with the scheme that a browser would add."""
    if not address or "//" in address:
        return address
    return f"{'http' if _LOCAL.match(address) else 'https'}://{address}"


def _split(address: str) -> SplitResult:
    """The address's parts, when it has none that an origin lacks."""
    if any(mark.isspace() for mark in address) or _UNWRITABLE.search(address):
        raise _bad_address("An address has no spaces, line breaks or control characters in it.")
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018  (raises for a port that is none)
    except ValueError as error:
        raise _bad_address(f"{address!r} is not the address of a website.") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise _bad_address("Start the address with http:// or https://.")
    if "@" in parts.netloc:
        raise _bad_address("Leave out the user name and password: browsers never tell them.")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _bad_address("Leave out everything after the host: visits are taken from all pages of a website.")
    return parts


def _host_of(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if "*" in host:
        raise _bad_address("Give one website without *: each host, also each subdomain, is a site of its own.")
    try:
        return f"[{_ipv6(host)}]" if parts.netloc.startswith("[") else _name(host)
    except (UnicodeError, AddressValueError) as error:
        raise _not_a_name(host) from error


def _ipv6(host: str) -> str:
    address = IPv6Address(host)
    if address.scope_id is not None:
        raise _not_a_name(host)
    return address.compressed


def _name(host: str) -> str:
    """A name, or an address of IPv4, which is whatever ends in a number."""
    name = host if host.isascii() else _ascii(host)
    if not _HOST.fullmatch(name):
        raise _not_a_name(host)
    is_number = _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2])
    return str(IPv4Address(name)) if is_number else name


def _ascii(host: str) -> str:
    """A name as browsers write it. Where theirs and Python's rules differ (ß), only its xn-- form is certain."""
    written = host.encode("idna").decode()
    if written.encode().decode("idna") != host.lower():
        raise _bad_address(f"Write {host!r} as your browser's address bar gives it when copied, beginning with xn--.")
    return written


def _not_a_name(host: str) -> BadSiteError:
    return _bad_address(f"{host!r} is not the name of a website.")


def _bad_address(sentence: str) -> BadSiteError:
    return BadSiteError("origin", f"{sentence} Give the website's address {EXAMPLE}.")
