"""Calls that are repeated: the one with a known `Idempotency-Key` is answered with what the first one started.

As in the IETF draft "The Idempotency-Key HTTP Header Field": another request under a known key is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from apiflask import Schema, fields
from flask import request
from sqlalchemy.exc import IntegrityError

from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.queries import find_by_idempotency_key
from webapp.extensions import db
from webapp.problems import Problem

HEADER = "Idempotency-Key"
MAX_LENGTH = 200
View = TypeVar("View", bound=Callable[..., Any])


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


def fingerprint_of(what: str, asked: object) -> str:
    """The SHA-256 of a request: what is to be done, and everything that the caller said about it."""
    said = json.dumps([what, asked], sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def find_earlier(organisation_id: UUID, key: str | None, fingerprint: str) -> BulkAction | None:
    """What an earlier call with this key started; raises a Problem when that one asked for something else."""
    earlier = find_by_idempotency_key(organisation_id, key) if key else None
    if earlier is not None and earlier.idempotency_fingerprint != fingerprint:
        detail = "An earlier call with this key asked for something else. Use a new key for a new request."
        raise Problem(422, "Idempotency-Key is used already", detail)
    return earlier


def keep_once(bulk_action: BulkAction, key: str | None, fingerprint: str) -> BulkAction:
    """The bulk action that this call made, or the one of an earlier call with its key, which may just have been.

    Flushes. When the earlier one is answered with, everything of this transaction is undone; raises a Problem when
    that asked for something else.
    """
    if key is None:
        return bulk_action
    bulk_action.idempotency_key, bulk_action.idempotency_fingerprint = key, fingerprint
    organisation_id = bulk_action.organisation_id
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        earlier = find_earlier(organisation_id, key, fingerprint)
        if earlier is None:
            raise
        return earlier
    return bulk_action


def takes_key(view: View) -> View:
    """Describe the header with a view that reads it; APIFlask adds to this what the decorators above it say."""
    spec = vars(view).setdefault("_spec", {})
    spec["args"] = [*(spec.get("args") or []), (IdempotencyKeyIn(), "headers")]
    return view
