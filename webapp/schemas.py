"""Kinds of JSON values that several features' APIs share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apiflask.fields import DateTime, String
from marshmallow import ValidationError

from webapp.lib.texts import UNKEEPABLE, is_keepable


class Text(String):
    """A text that PostgreSQL can hold: JSON's escapes can write characters that no text may have."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        if not is_keepable(text):
            raise ValidationError(f"It {UNKEEPABLE}.")
        return text


class UtcTime(DateTime):
    """A time as ISO 8601 in UTC, whatever zone the database's connection speaks."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        if not isinstance(value, datetime):
            return None
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
