"""Addresses that a stranger may have written into a link to us."""

from __future__ import annotations

from urllib.parse import urlsplit


def own_path(wanted: object, default: str = "/") -> str:
    """The wanted path if it can only lead to this site, else the default.

    Browsers read `//host`, `/\\host` and paths with control characters in them as other sites.
    """
    if not isinstance(wanted, str) or not wanted.startswith("/") or "\\" in wanted or not wanted.isprintable():
        return default
    parts = urlsplit(wanted)
    return default if parts.scheme or parts.netloc or wanted.startswith("//") else wanted
