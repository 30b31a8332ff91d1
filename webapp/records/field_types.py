"""The kinds of fields that are more than text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from uuid import UUID

import phonenumbers

from webapp.lib.keys import fold_key
from webapp.records.fields import NO_CONTEXT, Context, FaultError, Faults, Field, shorten
from webapp.records.phones import as_e164

# Bounded, so that no text can make it slow. Names in any alphabet are let through.
EMAIL_PATTERN = re.compile(
    r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])"
)
is_email = EMAIL_PATTERN.fullmatch

YES = frozenset({"true", "t", "yes", "y", "1", "on", "active", "ja", "oui", "sí", "si", "wahr", "vrai", "x"})
NO = frozenset({"false", "f", "no", "n", "0", "off", "inactive", "nein", "non", "falsch", "faux"})
THOUSANDS_BY_COMMA = re.compile(r"-?\d{1,3}(?:,\d{3})+")
THOUSANDS_BY_POINT = re.compile(r"-?\d{1,3}(?:\.\d{3}){2,}")
MAX_TAGS = 50
MAX_TAG_LENGTH = 100
TAG_BREAK = re.compile(r"[,;|\n]")


def email_fault(cell: str) -> str | None:
    """Why this is no e-mail address."""
    return None if is_email(cell) else f"“{shorten(cell)}” is not an e-mail address."


@dataclass(frozen=True)
class EmailField(Field):
    """An e-mail address, which every row has."""

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return max(map(len, cells), default=0) <= self.max_length and all(map(is_email, cells))


@dataclass(frozen=True)
class PhoneField(Field):
    """A phone number, kept as E.164 through Google's libphonenumber; an extension follows as ";ext=12" (RFC 3966)."""

    def value_of(self, cell: str, context: Context) -> str:
        number = as_e164(cell, context.region)
        if number is None:
            raise FaultError(self._fault(cell, context))
        return number

    def _fault(self, cell: str, context: Context) -> str:
        if context.region or cell.lstrip().startswith(("+", "＋")):
            return f"“{shorten(cell)}” is not a phone number."
        return f"“{shorten(cell)}” is not a phone number with “+” and its country's code; choose the file's country."

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return not any(cells)


@dataclass(frozen=True)
class BooleanField(Field):
    """Yes or no."""

    def value_of(self, cell: str, context: Context) -> bool:
        word = cell.casefold()
        if word not in YES and word not in NO:
            raise FaultError(f"“{shorten(cell)}” is neither yes nor no.")
        return word in YES

    def literal(self, value: Any) -> str:
        return "t" if value else "f"

    def shown(self, value: Any, context: Context = NO_CONTEXT) -> str:
        return "" if value is None else ("yes" if value else "no")

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return not any(cells)


@dataclass(frozen=True)
class DecimalField(Field):
    """A number with at most `places` decimals and 15 digits before them.

    "1,234.50" and "1.234,50" are both read; a single comma or point is a decimal one, unless
    it can only group thousands ("1,234").
    """

    places: int = 4

    def value_of(self, cell: str, context: Context) -> Decimal:
        try:
            value = Decimal(_with_point(cell.replace(" ", "").replace("\u00a0", "").replace("'", "")))
        except InvalidOperation as error:
            raise FaultError(f"“{shorten(cell)}” is not a number.") from error
        if not value.is_finite() or value < 0 or abs(value) >= 10**15:
            raise FaultError(f"{self.label} must be between 0 and 999,999,999,999,999.")
        kept = value.quantize(Decimal(1).scaleb(-self.places))
        if kept != value:
            raise FaultError(f"{self.label} has more than {self.places} decimals.")
        return kept

    def shown(self, value: Any, context: Context = NO_CONTEXT) -> str:
        """With at least two decimals, as prices are written."""
        if value is None:
            return ""
        whole, _, places = f"{value:f}".partition(".")
        return f"{whole}.{places.rstrip('0').ljust(2, '0')}"

    def as_json(self, value: Any) -> Any:
        return None if value is None else self.shown(value)

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return not any(cells)


def _with_point(number: str) -> str:
    if "," in number and "." in number:
        decimal = max(number.rfind(","), number.rfind("."))
        return re.sub("[.,]", "", number[:decimal]) + "." + number[decimal + 1 :]
    if THOUSANDS_BY_COMMA.fullmatch(number):
        return number.replace(",", "")
    if THOUSANDS_BY_POINT.fullmatch(number):
        return number.replace(".", "")
    return number.replace(",", ".", 1)


@dataclass(frozen=True)
class CurrencyField(Field):
    """A currency's three letters (ISO 4217)."""

    def value_of(self, cell: str, context: Context) -> str:
        code = cell.upper()
        if len(code) != 3 or not code.isascii() or not code.isalpha():
            raise FaultError(f"“{shorten(cell)}” is not a currency's three letters, such as EUR.")
        return code

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return not any(cells)


@dataclass(frozen=True)
class TagsField(Field):
    """Words that records are grouped by; in a cell they are separated by commas, semicolons, bars or line breaks."""

    def value_of(self, cell: str, context: Context) -> list[str]:
        tags = {" ".join(part.split()) for part in TAG_BREAK.split(cell)}
        return check_tags(tags - {""})

    def literal(self, value: Any) -> str:
        return "{" + ",".join(_quoted(tag) for tag in value) + "}"

    def shown(self, value: Any, context: Context = NO_CONTEXT) -> str:
        return "; ".join(value or ())

    def as_json(self, value: Any) -> Any:
        return list(value or ())

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return not any(cells)


def check_tags(tags: AbstractSet[str]) -> list[str]:
    """The tags in order; raises FaultError for too many or too long ones."""
    if len(tags) > MAX_TAGS:
        raise FaultError(f"There are {len(tags)} tags; at most {MAX_TAGS} fit.")
    if long := next((tag for tag in tags if len(tag) > MAX_TAG_LENGTH), None):
        raise FaultError(f"The tag “{shorten(long)}” has more than {MAX_TAG_LENGTH} characters.")
    return sorted(tags)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True)
class MemberField(Field):
    """A member of the organisation, given by e-mail address, or by id as the API shows it."""

    def value_of(self, cell: str, context: Context) -> UUID:
        found = context.members.get(fold_key(cell)) or context.member_of(cell)
        if found is None:
            raise FaultError(f"“{shorten(cell)}” is not the e-mail address of a member.")
        return found

    def shown(self, value: Any, context: Context = NO_CONTEXT) -> str:
        """The member's address; "" for one who left."""
        return context.member_emails.get(value, "") if value else ""

    def as_json(self, value: Any) -> Any:
        return str(value) if value else None

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return not any(cells)


@dataclass(frozen=True)
class KeyTextField(Field):
    """A code that tells records apart, such as a SKU."""

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return "" not in cells and super()._all_plain(cells)


@lru_cache(maxsize=1)
def regions() -> list[str]:
    """ISO 3166 codes of the countries whose phone numbers can be read."""
    return sorted(phonenumbers.SUPPORTED_REGIONS)


def convert_columns(
    fields: Sequence[tuple[Field, Sequence[str]]], context: Context
) -> tuple[dict[str, Sequence[str]], dict[int, list[str]]]:
    """Columns in PostgreSQL's text form by field, and the reasons of every position that cannot be kept."""
    columns: dict[str, Sequence[str]] = {}
    reasons: dict[int, list[str]] = {}
    for wanted, cells in fields:
        columns[wanted.name], faults = wanted.convert(cells, context)
        _add(reasons, faults)
    return columns, reasons


def _add(reasons: dict[int, list[str]], faults: Faults) -> None:
    for position, reason in faults:
        reasons.setdefault(position, []).append(reason)
