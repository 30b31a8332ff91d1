"""The verbs over sites."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

from webapp.extensions import db
from webapp.lib.ids import uuid7
from webapp.visits.models import Site
from webapp.visits.site_keys import make_site_key

NAME_LIMIT = 100
DEFAULT_PORTS = {"http": 80, "https": 443}


class BadSiteError(ValueError):
    """A site cannot be made like this; the message says why and what to do."""


def create_site(organisation_id: UUID, name: str, origin: str) -> Site:
    """A new site that takes visits from one origin; raises BadSiteError."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_LIMIT:
        raise BadSiteError(f"A site needs a name of at most {NAME_LIMIT} characters.")
    site = Site(
        organisation_id=organisation_id,
        id=uuid7(),
        name=name,
        site_key=make_site_key(organisation_id),
        origins=[origin_of(origin)],
    )
    db.session.add(site)
    db.session.flush()
    return site


def origin_of(address: str) -> str:
    """Scheme, host and port of an address, as a browser's Origin header writes them; raises BadSiteError."""
    try:
        parts = urlsplit(address.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadSiteError(f"{address!r} is not the address of a website.") from error
    if parts.scheme not in DEFAULT_PORTS or not host or "\x00" in address:
        raise BadSiteError("Give the website's address with http:// or https://, as in https://shop.example.")
    host = f"[{host}]" if ":" in host else _ascii(host)
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != DEFAULT_PORTS[parts.scheme] else "")


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise BadSiteError(f"{host!r} is not the name of a website.") from error
