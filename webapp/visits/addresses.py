"""What a page and a referrer count as. Pure functions.

Anyone may post addresses of 2 KB with a public site key, so what is remembered of them is bounded in number
and in length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from hashlib import sha1
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL

CACHED_TEXTS = 10_000
CACHED_LENGTH = 256
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_WEBSITE = re.compile(r"[^/?#]+://[^/?#]*")
Answer = TypeVar("Answer")


def _remembering(function: Callable[[str], Answer]) -> Callable[[str], Answer]:
    """Remember the answers to short texts."""
    remembered = lru_cache(CACHED_TEXTS)(function)

    @wraps(function)
    def answer(text: str) -> Answer:
        return remembered(text) if len(text) <= CACHED_LENGTH else function(text)

    return answer


def page_of(url: str) -> str:
    """The page that an address shows, written in one way.

    The door has left of query and fragment only what the site counts as pages of their own.
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    path = rest[len(host) :]
    path = path if path.startswith("/") else f"/{path}"
    return f"{scheme}://{host.lower().removesuffix(DEFAULT_PORTS.get(scheme, ''))}{path}"


def page_id_of(page: str) -> bytes:
    """The bytes of a page's id, `uuid5(NAMESPACE_URL, page)`, three times as fast as by way of a UUID."""
    made = bytearray(sha1(NAMESPACE_URL.bytes + page.encode(), usedforsecurity=False).digest()[:16])
    made[6] = made[6] & 0x0F | 0x50
    made[8] = made[8] & 0x3F | 0x80
    return bytes(made)


def host_of(url: str) -> str:
    """The website of an address, without its `www.`; '' for no address."""
    website = _WEBSITE.match(url)
    return _host_of(website[0]) if website else ""


@_remembering
def _host_of(website: str) -> str:
    try:
        host = urlsplit(website).hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")
