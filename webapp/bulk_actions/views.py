"""The history of bulk actions, and what their pages share."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, request, url_for

from webapp.accounts.current import current_organisation
from webapp.accounts.queries import get_member_names
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.queries import PAGE_SIZE, get_bulk_action, list_bulk_actions, lock_bulk_action
from webapp.bulk_actions.verbs.words import title_of
from webapp.bulk_actions.wording import STATE_LABELS, VERB_LABELS, person_words
from webapp.config import Settings
from webapp.lib.storage import Storage, storage_at
from webapp.live.channels import jobs_channel, stream_url
from webapp.pages import render_page
from webapp.records.entities import find_entity, list_entities

blueprint = Blueprint("bulk_actions", __name__, url_prefix="/bulk-actions")


@blueprint.get("")
def index() -> Response:
    """Every bulk action, newest first, unfinished uploads too."""
    organisation_id, wanted = current_organisation().id, _wanted()
    before = uuid_or_none(request.args.get("before", ""))
    found = list_bulk_actions(organisation_id, before=before, with_drafts=True, **wanted)
    given: dict[str, Any] = {name: request.args[name] for name in wanted}
    people = get_member_names(organisation_id)
    return render_page(
        "bulk_actions/index.html",
        block="bulk_actions",
        bulk_actions=found,
        titles={bulk_action.id: title_of(bulk_action) for bulk_action in found},
        given=given,
        here=url_for(".index", before=before, **given),
        choices=_choices([(str(user_id), name) for user_id, name in people.items()]),
        first_url=url_for(".index", **given) if before else None,
        next_url=url_for(".index", before=found[-1].id, **given) if len(found) == PAGE_SIZE else None,
        persons={bulk_action.id: person_words(bulk_action.created_by, people) for bulk_action in found},
        stream=stream_url(settings_of_app(), jobs_channel(organisation_id)),
        upload_limit_bytes=settings_of_app().upload_limit_bytes,
    )


def _wanted() -> dict[str, Any]:
    """What the address asks for; whatever is nothing that there could be counts as not given."""
    given = request.args
    wanted = {
        "entity": given.get("entity") if find_entity(given.get("entity", "")) else None,
        "verb": Verb(given["verb"]) if given.get("verb") in VERB_LABELS else None,
        "state": BulkActionState(given["state"]) if given.get("state") in STATE_LABELS else None,
        "person": uuid_or_none(given.get("person", "")),
    }
    return {name: value for name, value in wanted.items() if value}


def _choices(people: list[tuple[str, str]]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(name in the address, label, what may be chosen) of each of the list's filters."""
    return [
        ("verb", "What was done", [("", "Everything"), *VERB_LABELS.items()]),
        ("entity", "Records", [("", "All records"), *((entity.name, entity.title) for entity in list_entities())]),
        ("state", "State", [("", "All states"), *STATE_LABELS.items()]),
        ("person", "By whom", [("", "Everybody"), *people]),
    ]


# Shared -------------------------------------------------------------------------------------------


def bulk_action_or_404(bulk_action_id: UUID) -> BulkAction:
    """The organisation's bulk action."""
    return get_bulk_action(current_organisation().id, bulk_action_id) or abort(404)


def locked_or_404(bulk_action_id: UUID) -> BulkAction:
    """The organisation's bulk action, locked until the transaction ends."""
    return lock_bulk_action(current_organisation().id, bulk_action_id) or abort(404)


def settings_of_app() -> Settings:
    """The settings of the app that answers this request."""
    settings: Settings = current_app.extensions["settings"]
    return settings


def uploads() -> Storage:
    """Where uploaded files are."""
    return storage_at(settings_of_app().uploads_url)


def uuid_or_none(text: str) -> UUID | None:
    """The id in an address; None for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
