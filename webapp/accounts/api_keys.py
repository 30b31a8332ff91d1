"""What an API key looks like: the organisation's id in the open, then a secret that only its owner has."""

from __future__ import annotations

import hashlib
import re
import secrets
from uuid import UUID

SECRET_BYTES = 32
PATTERN = re.compile(r"ff_(?P<organisation>[0-9a-f]{32})_(?P<secret>[A-Za-z0-9_-]{43})")


def new_secret(organisation_id: UUID) -> str:
    """A key's whole text; it names its organisation, so that the rest is looked up under that tenant's policy."""
    return f"ff_{organisation_id.hex}_{secrets.token_urlsafe(SECRET_BYTES)}"


def organisation_in(secret: str) -> UUID | None:
    """The organisation that a key says it belongs to, or None when the text cannot be a key."""
    match = PATTERN.fullmatch(secret)
    return UUID(hex=match["organisation"]) if match else None


def hash_of(secret: str) -> bytes:
    """What the database keeps: 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()
