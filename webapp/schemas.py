"""Kinds of JSON values that several features' APIs share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apiflask.fields import DateTime, String
from marshmallow import ValidationError


class Text(String):
    """A text that PostgreSQL can hold: JSON's escapes can write characters that no text may have."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ValidationError("Contains a character that no text may hold (U+0000, or half of a pair).")
        return text


class UtcTime(DateTime):
    """A time as ISO 8601 in UTC, whatever zone the database's connection speaks."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        if not isinstance(value, datetime):
            return None
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
