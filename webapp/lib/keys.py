"""What two spellings of one name have in common."""

from __future__ import annotations

import unicodedata


def fold_key(text: str) -> str:
    """A text without the differences of case and of composed letters: the unique key of e-mail addresses and codes."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).lower()
