"""Site keys: public, write-only, and carrying their organisation's id, so that a look-up can start with it."""

from __future__ import annotations

import re
import secrets
from uuid import UUID

PREFIX = "fs_"
RANDOM_BYTES = 8
PATTERN = re.compile(r"fs_([0-9a-f]{32})[0-9a-f]{16}")


def make_site_key(organisation_id: UUID) -> str:
    """A new key for one of the organisation's sites."""
    return f"{PREFIX}{organisation_id.hex}{secrets.token_hex(RANDOM_BYTES)}"


def organisation_of(site_key: str) -> UUID | None:
    """Whose key this would be; None when it cannot be a site key at all."""
    match = PATTERN.fullmatch(site_key)
    return UUID(hex=match[1]) if match else None
