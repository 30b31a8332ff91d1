"""HMAC-SHA256 by a site's own server: over an identity, or over the whole body of a request. Pure."""

from __future__ import annotations

import hmac
import secrets

SECRET_BYTES = 32


def make_secret() -> str:
    """A new secret for a site and its server."""
    return f"fis_{secrets.token_hex(SECRET_BYTES)}"


def sign(secret: str, content: bytes) -> str:
    """The signature as it is sent: hexadecimal."""
    return hmac.digest(secret.encode(), content, "sha256").hex()


def is_signed(secret: str, content: bytes, signature: str) -> bool:
    """Whether whoever signed knew the secret."""
    return hmac.compare_digest(sign(secret, content).encode(), signature.strip().lower().encode("utf-8", "replace"))
