"""What a record consists of: import, forms, the API, search, sort, filters and export read these declarations.

A field turns a cell's text into a value (`parse`), a value into PostgreSQL's text form (`literal`) and
into what people read and files hold (`shown`), such that `parse(shown(value)) == value`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

Faults = list[tuple[int, str]]
"""(position, reason) of cells that cannot be kept."""


class FaultError(ValueError):
    """A cell that cannot be kept; the message says why, in plain words."""


@dataclass(frozen=True)
class Context:
    """What the reading of cells depends on besides the cells.

    `region` is the ISO 3166 code of the country whose phone numbers are written without "+";
    `members` are the organisation's people by their folded e-mail addresses; the others are by id.
    """

    region: str = ""
    members: Mapping[str, UUID] = field(default_factory=dict)
    member_emails: Mapping[UUID, str] = field(default_factory=dict)
    member_names: Mapping[UUID, str] = field(default_factory=dict)

    def member_of(self, text: str) -> UUID | None:
        """The member whose id the text is."""
        return next((member for member in self.member_emails if str(member) == text.lower()), None)


NO_CONTEXT = Context()


@dataclass(frozen=True)
class Field:
    """One field: its name in the database and the API, its label for people, and what fits into it.

    `sql_type` is its column's type, `sql_default` what the column holds for a blank; `fold` makes the unique key of
    a key field's values. Neighbours of one `group` stand together in forms, under its name.
    """

    name: str
    label: str
    max_length: int = 200
    type: str = "text"
    sql_type: str = "text"
    sql_default: str = "NULL"
    is_required: bool = False
    is_key: bool = False
    is_multiline: bool = False
    synonyms: tuple[str, ...] = ()
    help: str = ""
    group: str = ""
    find_fault: Callable[[str], str | None] = lambda cell: None
    fold: Callable[[str], str] = str.lower

    def fault_of(self, cell: str, context: Context = NO_CONTEXT) -> str | None:
        """Why this cell cannot be kept, in plain words; None when it can."""
        try:
            self.parse(cell, context)
        except FaultError as error:
            return str(error)
        return None

    def parse(self, cell: str, context: Context = NO_CONTEXT) -> Any:
        """The value of a cell without white space around it; None for a blank one. Raises FaultError."""
        if not cell:
            if self.is_required:
                raise FaultError(f"{self.label} is missing.")
            return None
        if len(cell) > self.max_length:
            raise FaultError(f"{self.label} has {len(cell):,} characters; at most {self.max_length:,} fit.")
        if "\x00" in cell:
            raise FaultError(f"{self.label} contains the character U+0000, which no text may hold.")
        if fault := self.find_fault(cell):
            raise FaultError(fault)
        return self.value_of(cell, context)

    def value_of(self, cell: str, context: Context) -> Any:
        """The value of a cell that is neither blank nor too long. Raises FaultError."""
        return cell

    def literal(self, value: Any) -> str:
        """PostgreSQL's text form of a value."""
        return str(value)

    def shown(self, value: Any, context: Context = NO_CONTEXT) -> str:
        """What people read and files hold; "" for none."""
        return "" if value is None else str(value)

    def as_json(self, value: Any) -> Any:
        """The value as the API shows it."""
        return value

    def convert(self, cells: Sequence[str], context: Context) -> tuple[Sequence[str], Faults]:
        """A column in PostgreSQL's text form ("" where blank or faulty), and its faults. Quick when there are none."""
        different = set(cells)
        if self._all_plain(different):
            return cells, []
        literals: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for cell in different:
            try:
                value = self.parse(cell, context)
                literals[cell] = "" if value is None else self.literal(value)
            except FaultError as error:
                reasons[cell] = str(error)
        if not reasons:
            return [literals[cell] for cell in cells], []
        faults = [(position, reasons[cell]) for position, cell in enumerate(cells) if cell in reasons]
        return [literals.get(cell, "") for cell in cells], faults

    def _all_plain(self, cells: AbstractSet[str]) -> bool:
        """Whether one look at a column's different cells finds nothing to examine or to change."""
        if self.is_required and "" in cells:
            return False
        return max(map(len, cells), default=0) <= self.max_length and "\x00" not in "".join(cells)


def shorten(text: str, length: int = 60) -> str:
    """The beginning of a text, for messages."""
    return text if len(text) <= length else text[: length - 3] + "…"


def clean(value: str | None) -> str:
    """A value without the white space around it."""
    return (value or "").strip()
