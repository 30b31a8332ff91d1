"""Verbs, states, and how files are read and by which rules, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from webapp.bulk_actions.models import BulkActionState, Verb
from webapp.records.entities import Entity
from webapp.records.rules import Mode, Policy

MODE_LABELS = {
    Mode.CREATE_AND_UPDATE: "Create and update",
    Mode.CREATE_ONLY: "Only create",
    Mode.UPDATE_ONLY: "Only update",
    Mode.SKIP_EXISTING: "Create, and skip those that exist",
}
MODE_WORDS = {
    Mode.CREATE_AND_UPDATE: "{Names} whose {key} is new are created; those that exist are updated.",
    Mode.CREATE_ONLY: "{Names} whose {key} is new are created; a row whose {key} exists already is rejected.",
    Mode.UPDATE_ONLY: "{Names} that exist are updated; a row whose {key} is new is rejected.",
    Mode.SKIP_EXISTING: "{Names} whose {key} is new are created; those that exist stay as they are.",
}
POLICY_WORDS = {
    Policy.OVERWRITE: "Overwrite it",
    Policy.FILL: "Leave it; fill blanks only",
    Policy.LEAVE: "Leave all that exist as they are",
    Policy.ADD: "Add to it",
}
POLICY_REPORT_WORDS = {
    Policy.OVERWRITE: "overwrote what was there",
    Policy.FILL: "filled blanks only",
    Policy.LEAVE: "only for new ones",
    Policy.ADD: "added to what was there",
}
VERB_LABELS = {
    Verb.IMPORT.value: "Imports",
    Verb.UPDATE.value: "Updates of fields",
    Verb.ADD_TAGS.value: "Tags added",
    Verb.REMOVE_TAGS.value: "Tags removed",
    Verb.DELETE.value: "Deletions",
    Verb.DELETE_ALL.value: "Deletions of all",
    Verb.RESTORE.value: "Restorations",
    Verb.EXPORT.value: "Exports",
    Verb.UNDO.value: "Undone",
    Verb.FIND_PICTURES.value: "Searches for pictures",
}
STATE_LABELS = {
    BulkActionState.DRAFT.value: "Not started",
    BulkActionState.PENDING.value: "Waiting",
    BulkActionState.RUNNING.value: "Running",
    BulkActionState.COMPLETED.value: "Completed",
    BulkActionState.COMPLETED_WITH_PROBLEMS.value: "Completed with problems",
    BulkActionState.FAILED.value: "Failed",
    BulkActionState.CANCELLED.value: "Cancelled",
}

ENCODING_LABELS = {
    "utf-8": "UTF-8",
    "cp1252": "Western European (Windows-1252)",
    "latin-1": "Western European (ISO-8859-1, Latin-1)",
    "cp1250": "Central European (Windows-1250)",
    "cp1251": "Cyrillic (Windows-1251)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "mac_roman": "Western European (old Macintosh)",
    "utf-16-le": "UTF-16, little-endian",
    "utf-16-be": "UTF-16, big-endian",
    "utf-32-le": "UTF-32, little-endian",
    "utf-32-be": "UTF-32, big-endian",
    "shift_jis": "Japanese (Shift JIS)",
    "gb18030": "Chinese, simplified (GB 18030)",
    "big5": "Chinese, traditional (Big5)",
    "euc_kr": "Korean (EUC-KR)",
}
DELIMITER_LABELS = {",": "Commas", ";": "Semicolons", "\t": "Tabs", "|": "Vertical bars"}


def mode_choices(entity: Entity) -> list[tuple[str, str, str]]:
    """(value, label, what it does) of every mode."""
    return [(mode.value, label, mode_words(mode, entity)) for mode, label in MODE_LABELS.items()]


def mode_words(mode: Mode, entity: Entity) -> str:
    """What a mode does, as "Contacts whose e-mail is new are created; those that exist are updated."."""
    return MODE_WORDS[mode].format(Names=entity.title, key=key_words(entity))


def person_words(user_id: UUID | None, people: Mapping[UUID, str]) -> str:
    """Who started it: calls of the API are a program's."""
    return people.get(user_id, "somebody who left") if user_id else "a program"


def key_words(entity: Entity) -> str:
    """The key's name within a sentence: "e-mail", but "SKU"."""
    label = entity.key.label
    return label if label.isupper() else f"{label[0].lower()}{label[1:]}"
