"""The pixel of a `<noscript>`: an image whose address counts one pageview where no script runs.

It has no id, no identifier and nobody who could send it again, so it is answered the same whatever becomes of it:
a picture that is missing would be seen by the site's visitors.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
HEADERS = [
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(GIF)).encode()),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
]

Scope = dict[str, Any]


class Pageview(msgspec.Struct, rename="camel", omit_defaults=True):
    """What a pixel tells: a beacon of the fewest words."""

    site_key: str
    page_url: str
    referrer: str = ""


def read_pixel(scope: Scope) -> tuple[bytes, Scope]:
    """The beacon in a request for the pixel, and the request as if the page itself had posted it.

    A browser names no origin when it asks for an image, so it is that of the page which embeds it: of the Referer,
    which a page cannot choose, before the address that the query tells.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    referer = headers.get(b"referer", b"").decode("latin-1")
    page_url = _first(query, "page") or referer
    beacon = Pageview(_first(query, "site"), page_url, _first(query, "referrer"))
    others = [(name, value) for name, value in scope["headers"] if name != b"origin"]
    origin = (b"origin", origin_of(referer or page_url).encode("latin-1", "replace"))
    return msgspec.json.encode(beacon), {**scope, "headers": [*others, origin]}


def origin_of(url: str) -> str:
    """Scheme, host and port of a page's address; "null", as browsers say it, where there are none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "null"
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else "null"


def headers_for(reason: str = "") -> list[tuple[bytes, bytes]]:
    """The picture's headers; the reason says why its pageview is not counted."""
    return [*HEADERS, (b"x-footfall-dropped", reason.encode())] if reason else HEADERS


def _first(query: dict[str, list[str]], name: str) -> str:
    return query.get(name, [""])[0]
