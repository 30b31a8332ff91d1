"""A deleted contact as a signed text, which the page that says "deleted" carries until somebody presses "Undo"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from webapp.contacts.fields import FIELD_NAMES
from webapp.contacts.models import Contact
from webapp.lib.signing import BadSignatureError, sign, unsign

PURPOSE = "deleted-contact"
UNDO_SECONDS = 600
MAX_TEXT_LENGTH = 2500
"""The text travels in a cookie, of which browsers keep 4 KB."""


class TooLateError(Exception):
    """The text is too old, or was not given to a member of this organisation."""


@dataclass(frozen=True)
class DeletedContact:
    """All that is needed to have the same contact again."""

    organisation_id: UUID
    id: UUID
    values: dict[str, str | None]
    created_at: datetime
    updated_at: datetime


def wrap(secret: str, contact: Contact) -> str | None:
    """The contact as a signed text; None when it is too long for the way."""
    kept = {
        "organisation_id": contact.organisation_id.hex,
        "id": contact.id.hex,
        "values": {name: getattr(contact, name) for name in FIELD_NAMES},
        "created_at": contact.created_at.isoformat(),
        "updated_at": contact.updated_at.isoformat(),
    }
    text = sign(secret, PURPOSE, json.dumps(kept, ensure_ascii=False))
    return text if len(text) <= MAX_TEXT_LENGTH else None


def unwrap(secret: str, organisation_id: UUID, text: str) -> DeletedContact:
    """The contact in a text of `wrap`; raises TooLateError."""
    try:
        kept = json.loads(unsign(secret, PURPOSE, text, UNDO_SECONDS))
    except BadSignatureError as error:
        raise TooLateError from error
    if UUID(kept["organisation_id"]) != organisation_id:
        raise TooLateError
    created_at, updated_at = (datetime.fromisoformat(kept[name]) for name in ("created_at", "updated_at"))
    return DeletedContact(organisation_id, UUID(kept["id"]), kept["values"], created_at, updated_at)
