"""What a text of PostgreSQL may hold."""

from __future__ import annotations

UNKEEPABLE = "contains a character that no text may hold (U+0000, or half of a pair)"


def shown(value: object, length: int = 60) -> str:
    """The beginning of whatever somebody sent, as messages can show it."""
    return str(value)[:length].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def is_keepable(text: str) -> bool:
    """Whether PostgreSQL can hold it; JSON's escapes can write characters that it cannot."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
