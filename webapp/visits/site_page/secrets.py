"""What the secret of a shared link looks like: its organisation in the open, then what nobody can guess."""

from __future__ import annotations

import re
import secrets
from uuid import UUID

SECRET_BYTES = 24
PATTERN = re.compile(r"(?P<organisation>[0-9a-f]{32})-[A-Za-z0-9_-]{32}")


def new_secret(organisation_id: UUID) -> str:
    """It names its organisation, so that the link is looked up under that tenant's policy."""
    return f"{organisation_id.hex}-{secrets.token_urlsafe(SECRET_BYTES)}"


def organisation_in(secret: str) -> UUID | None:
    """The organisation that a secret says it belongs to, or None when the text cannot be one."""
    match = PATTERN.fullmatch(secret)
    return UUID(hex=match["organisation"]) if match else None
