"""Taking back the deletion of what is kept beside a site's visits: the button carries it, signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
from flask import current_app, url_for

from webapp.config import Settings
from webapp.lib.signing import sign, unsign
from webapp.pages import flash_with_undo
from webapp.visits.questions import Operator
from webapp.visits.site_page.models import ChartNote, Funnel, Goal, Segment, SharedLink
from webapp.visits.site_page.service import Kept, KeptRow

UNDO, UNDO_SECONDS = "deleted-kept", 86_400
TOKEN_LIMIT = 2_500
"""A browser keeps some 4,000 characters of a session, in which the button waits for the next page."""
KINDS: Mapping[str, Kept] = {"goal": Goal, "segment": Segment, "funnel": Funnel, "note": ChartNote, "link": SharedLink}
READ: Mapping[str, Callable[[Any], Any]] = {
    "id": UUID,
    "site_id": UUID,
    "operator": Operator,
    "day": date.fromisoformat,
}
"""How values are read that JSON writes as text."""
NOT_CARRIED = frozenset({"organisation_id", "created_at"})


def carry(kept: KeptRow) -> str:
    """All of it as a signed text, which only its organisation can use; none where no session would hold it."""
    kind = next(name for name, one in KINDS.items() if isinstance(kept, one))
    columns = [column.key for column in type(kept).__table__.columns if column.key not in NOT_CARRIED]
    content = {"kind": kind, "values": {name: getattr(kept, name) for name in columns}}
    text = sign(_secret(), _purpose(kept.organisation_id), msgspec.json.encode(content).decode())
    return text if len(text) <= TOKEN_LIMIT else ""


def carried(organisation_id: UUID, text: str) -> tuple[str, dict[str, Any]]:
    """Its kind and its values; raises BadSignatureError."""
    found = json.loads(unsign(_secret(), _purpose(organisation_id), text, UNDO_SECONDS))
    values = {name: READ[name](value) if name in READ else value for name, value in found["values"].items()}
    return found["kind"], values


def name_of(kept: KeptRow) -> str:
    """What people call it."""
    return kept.text if isinstance(kept, ChartNote) else kept.name


def say_deleted(name: str, undo: str) -> None:
    """On the next page, with the button that takes it back."""
    flash_with_undo(f"“{name}” is deleted.", url_for("visits.restore_kept"), undo)


def _purpose(organisation_id: UUID) -> str:
    return f"{UNDO}-{organisation_id.hex}"


def _secret() -> str:
    settings: Settings = current_app.extensions["settings"]
    return settings.secret_key
