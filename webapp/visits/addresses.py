"""What a page and a referrer count as. Pure functions."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

CACHED_URLS = 100_000
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@lru_cache(CACHED_URLS)
def page_of(url: str) -> tuple[str, bytes]:
    """The page that an address shows, without query and fragment, and its id's bytes."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    rest = rest.partition("#")[0].partition("?")[0]
    host, _, path = rest.partition("/")
    page = f"{scheme}://{host.lower().removesuffix(DEFAULT_PORTS.get(scheme, ''))}/{path}"
    return page, uuid5(NAMESPACE_URL, page).bytes


@lru_cache(CACHED_URLS)
def host_of(url: str) -> str:
    """The website of an address, without its `www.`; '' for no address."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")


def referrer_of(referrer: str, page_url: str) -> str | None:
    """The website that brought a pageview: '' for none, None for the site itself."""
    if not referrer:
        return ""
    host = host_of(referrer)
    return None if host and host == host_of(page_url) else host
