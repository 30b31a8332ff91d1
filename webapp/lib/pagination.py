"""Keyset paging: a cursor is the sort key and id of the last row shown, never a row count."""

from __future__ import annotations

import base64
import binascii
import json
from uuid import UUID


class BadCursorError(ValueError):
    """The cursor was not made by `encode_cursor`."""


def encode_cursor(sort_key: str, row_id: UUID) -> str:
    """An opaque, URL-safe text for "after this row"."""
    raw = json.dumps([sort_key, row_id.hex], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[str, UUID]:
    """The (sort key, id) in a cursor; raises BadCursorError."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        sort_key, row_id = json.loads(raw)
        return _storable(str(sort_key)), UUID(hex=row_id)
    except (ValueError, RecursionError, TypeError, AttributeError, binascii.Error) as error:
        raise BadCursorError("This page link is damaged. Start again from the first page.") from error


def _storable(text: str) -> str:
    """The text, unless PostgreSQL would choke on it: then we never wrote it."""
    text.encode()  # half of a surrogate pair raises here
    if "\x00" in text:
        raise ValueError("U+0000")
    return text
