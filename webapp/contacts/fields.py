"""What a contact consists of, declared once: import mapping, forms, the API and search read it here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

EMAIL_MAX_LENGTH = 254
# Bounded, so that no text can make it slow. Names in any alphabet are let through.
EMAIL_PATTERN = re.compile(
    r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])"
)
is_email = EMAIL_PATTERN.fullmatch


@dataclass(frozen=True)
class Field:
    """One field: its name in the database and the API, its label for people, and what fits into it."""

    name: str
    label: str
    max_length: int
    type: str = "text"
    is_required: bool = False
    is_key: bool = False
    synonyms: tuple[str, ...] = ()
    find_fault: Callable[[str], str | None] = lambda cell: None

    def fault_of(self, cell: str) -> str | None:
        """Why this cell cannot be kept, in plain words; None when it can."""
        if not cell:
            return f"{self.label} is missing." if self.is_required else None
        if len(cell) > self.max_length:
            return f"{self.label} has {len(cell):,} characters; at most {self.max_length} fit."
        if "\x00" in cell:
            return f"{self.label} contains the character U+0000, which no text may hold."
        return self.find_fault(cell)

    def find_faults(self, cells: Sequence[str]) -> list[tuple[int, str]]:
        """(position, reason) of every cell of a column that cannot be kept; quick when all can."""
        if self._all_plain(set(cells)):
            return []
        faults = [(position, self.fault_of(cell)) for position, cell in enumerate(cells)]
        return [(position, fault) for position, fault in faults if fault]

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        """Whether one look at a column's different cells finds nothing to examine."""
        if self.is_required and "" in cells:
            return False
        return max(map(len, cells), default=0) <= self.max_length and "\x00" not in "".join(cells)


@dataclass(frozen=True)
class EmailField(Field):
    """An e-mail address, which every row has."""

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        return max(map(len, cells), default=0) <= self.max_length and all(map(is_email, cells))


def email_fault(cell: str) -> str | None:
    """Why this is no e-mail address."""
    if is_email(cell):
        return None
    shown = cell if len(cell) <= 60 else cell[:57] + "…"
    return f"“{shown}” is not an e-mail address."


def email_key(email: str) -> str:
    """What two spellings of one address have in common: the unique key."""
    if email.isascii():
        return email.lower()
    return unicodedata.normalize("NFC", email).lower()


def clean(value: str | None) -> str:
    """A value without the white space around it."""
    return (value or "").strip()


FIELDS: tuple[Field, ...] = (
    EmailField(
        "email",
        "E-mail",
        EMAIL_MAX_LENGTH,
        type="email",
        is_required=True,
        is_key=True,
        synonyms=(
            "email", "mail", "e-mail address", "mail address", "email id", "primary email", "work email",
            "contact email", "email 1", "e-mail 1 - value", "correo", "courriel", "adresse e-mail", "e-mail-adresse",
        ),
        find_fault=email_fault,
    ),
    Field(
        "first_name",
        "First name",
        200,
        synonyms=("firstname", "given name", "forename", "first", "vorname", "prénom", "nombre"),
    ),
    Field(
        "last_name",
        "Last name",
        200,
        synonyms=("lastname", "surname", "family name", "last", "nachname", "nom de famille", "apellido", "apellidos"),
    ),
    Field(
        "phone",
        "Phone",
        64,
        type="tel",
        synonyms=(
            "phone number", "telephone", "telephone number", "tel", "mobile", "mobile phone", "mobile number",
            "cell", "cell phone", "telefon", "téléphone", "teléfono",
        ),
    ),
    Field(
        "company",
        "Company",
        300,
        synonyms=(
            "company name", "organisation", "organization", "organisation name", "organization name", "employer",
            "account", "account name", "business", "firma", "unternehmen", "entreprise", "empresa",
        ),
    ),
    Field(
        "job_title",
        "Job title",
        300,
        synonyms=("title", "position", "role", "job", "occupation", "designation", "funktion", "poste", "cargo"),
    ),
    Field("city", "City", 200, synonyms=("town", "locality", "place", "stadt", "ort", "ville", "ciudad")),
    Field("country", "Country", 200, synonyms=("country name", "nation", "country/region", "land", "pays", "país")),
)  # fmt: skip
FIELDS_BY_NAME = {field.name: field for field in FIELDS}
FIELD_NAMES = tuple(field.name for field in FIELDS)
KEY_FIELD = FIELDS_BY_NAME["email"]
