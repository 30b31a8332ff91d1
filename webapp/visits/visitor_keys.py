"""Which identifiers of visitors can name a record, and what a batch saw of those. Pure functions.

The site decides what it calls a visitor. An e-mail address always may name a contact. Any other text may be a
customer number or a SKU, unless a program made it up: the tracker's own UUIDs, which nothing else knows, and
other long random ids. Those would be as many as there are browsers, and join nothing.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from webapp.lib.keys import fold_key

EMAIL_LENGTH_LIMIT = 254
OTHER_LENGTH_LIMIT = 100
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
# UUIDs; 16 hexadecimal digits and more; 20 letters and digits and more without any break.
_MACHINE_MADE = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|[0-9a-z]{20,}", re.IGNORECASE | re.ASCII
)


class KeyKind(enum.Enum):
    """What a key looks like; each kind is kept up to a number of its own."""

    EMAIL = "email"
    OTHER = "other"


@dataclass(slots=True)
class Seen:
    """What a batch saw of one visitor, in milliseconds since 1970."""

    first_ms: int
    last_ms: int
    pageview_count: int

    def add(self, other: Seen) -> None:
        self.pageview_count += other.pageview_count
        self.first_ms = min(self.first_ms, other.first_ms)
        self.last_ms = max(self.last_ms, other.last_ms)


def is_machine_made(identifier: str) -> bool:
    """Whether a program made it up: then it names no record, and nobody can guess it."""
    return _MACHINE_MADE.fullmatch(identifier) is not None


def visitor_key(identifier: str) -> str | None:
    """The key under which records can ask for this visitor; None for one that no record can be named by."""
    key = fold_key(identifier.strip())
    if "@" in key:
        return key if len(key) <= EMAIL_LENGTH_LIMIT and _EMAIL.fullmatch(key) else None
    return key if 0 < len(key) <= OTHER_LENGTH_LIMIT and not is_machine_made(key) else None


def kind_of(key: str) -> KeyKind:
    """Only e-mail addresses have an @."""
    return KeyKind.EMAIL if "@" in key else KeyKind.OTHER


def tally_visitors(identifiers: Iterable[tuple[str, int, int, int]]) -> dict[str, Seen]:
    """What was seen of visitors that have a key, from each identifier's first and last moment and pageviews."""
    tallied: dict[str, Seen] = {}
    for identifier, first_ms, last_ms, pageview_count in identifiers:
        key = visitor_key(identifier)
        if key is not None:
            tallied.setdefault(key, Seen(first_ms, last_ms, 0)).add(Seen(first_ms, last_ms, pageview_count))
    return tallied
