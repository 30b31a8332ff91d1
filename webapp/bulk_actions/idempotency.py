"""Calls that are repeated: the one with a known `Idempotency-Key` is answered with what the first one started.

As in the IETF draft "The Idempotency-Key HTTP Header Field": another request under a known key is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiflask import Schema, fields
from flask import request
from sqlalchemy.exc import IntegrityError

from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.queries import find_by_idempotency_key
from webapp.extensions import db
from webapp.problems import Problem

HEADER = "Idempotency-Key"
MAX_LENGTH = 200


class IdempotencyKeyIn(Schema):
    """What makes a call safe to repeat. Only described: `idempotency_key` reads it."""

    key = fields.String(
        data_key=HEADER,
        metadata={
            "description": "A text of your own, such as a UUID. The same call with the same key answers with what the"
            " first one started, also when that died or is still at work; another call with it gets 422."
        },
    )


def idempotency_key() -> str | None:
    """The call's key; None when it has none."""
    key = request.headers.get(HEADER, "").strip()
    if len(key) > MAX_LENGTH:
        raise Problem(400, "Bad Idempotency-Key", f"The key has more than {MAX_LENGTH} characters.")
    return key or None


def keep_once(bulk_action: BulkAction, key: str | None, content: Callable[[BulkAction], Any]) -> BulkAction:
    """The bulk action that this call made, or the one of an earlier call with its key, which may just have been.

    Flushes. `content` tells what was asked for. When the earlier one is answered with, everything of this
    transaction is undone; raises a Problem when that asked for something else.
    """
    bulk_action.idempotency_key = key
    organisation_id, asked = bulk_action.organisation_id, content(bulk_action)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        earlier = find_by_idempotency_key(organisation_id, key) if key else None
        if earlier is None:
            raise
        return same_or_refused(earlier, content, asked)
    return bulk_action


def same_or_refused(earlier: BulkAction, content: Callable[[BulkAction], Any], asked: Any) -> BulkAction:
    """The earlier bulk action, if it was about the same."""
    if content(earlier) != asked:
        detail = "An earlier call with this key asked for something else. Use a new key for a new request."
        raise Problem(422, "Idempotency-Key is used already", detail)
    return earlier
