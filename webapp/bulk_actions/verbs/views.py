"""The pages of verbs over many records: confirm, watch, look at what became of each."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, flash, redirect, request, stream_with_context, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation, is_owner
from webapp.bulk_actions.mapping_form import posted_run_at
from webapp.bulk_actions.models import BulkAction, Verb
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import get_bulk_action, lock_bulk_action
from webapp.bulk_actions.retention import with_details
from webapp.bulk_actions.tasks import send_first, send_work
from webapp.bulk_actions.verbs.confirmation import EVERYTHING, OtherNumberError, confirmed
from webapp.bulk_actions.verbs.downloads import MissingFileError, download_of
from webapp.bulk_actions.verbs.parameters import ParameterError, exportable_columns
from webapp.bulk_actions.verbs.queries import list_outcome
from webapp.bulk_actions.verbs.selection import (
    Selection,
    SelectionError,
    check_selection,
    count_selected,
    selected_ids,
    selection_from,
)
from webapp.bulk_actions.verbs.service import NotUndoableError, Order, TooManyError, start_undo, start_verb
from webapp.bulk_actions.verbs.words import title_of
from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.run_times import RunAtError
from webapp.pages import render_page
from webapp.records.context import context_of
from webapp.records.entities import ATTRIBUTE_PREFIX, Entity, find_entity
from webapp.records.filters import FilterError
from webapp.records.queries import list_attribute_names, list_by_ids, list_deleted_by_ids

blueprint = Blueprint("bulk_verbs", __name__, url_prefix="/bulk-actions")

OFFERED = (Verb.UPDATE, Verb.ADD_TAGS, Verb.REMOVE_TAGS, Verb.DELETE, Verb.RESTORE, Verb.EXPORT, Verb.FIND_PICTURES)
SAMPLE_SIZE = 5
OWNERS_ONLY = "Only owners may delete everything. Ask one of them."


@blueprint.post("/new")
def new() -> Response:
    """What would be done to how many records, and what it needs to know before."""
    return _confirm_page(_posted_entity(), _posted_verb(), _posted_selection())


@blueprint.post("/start-verb")
def start() -> BaseResponse:
    """Begin, or ask again with what is wrong."""
    entity, verb, selection = _posted_entity(), _posted_verb(), _posted_selection()
    organisation_id, user_id = current_organisation().id, current_user.id
    try:
        order = Order(verb, entity, selection, _posted_parameters(verb), posted_run_at(), utc_now())
        if verb is Verb.DELETE:
            _refuse_everything(entity, selection)
            order = confirmed(order, organisation_id, _typed_number())
        bulk_action = start_verb(organisation_id, user_id, order, most_per_hour=_settings().bulk_actions_per_hour)
        db.session.commit()
    except (ParameterError, SelectionError, FilterError, RunAtError, OtherNumberError) as error:
        db.session.rollback()
        return _confirm_page(entity, verb, selection, problem=str(error), status=422)
    except TooManyError as error:
        db.session.rollback()
        return _confirm_page(entity, verb, selection, problem=str(error), status=429)
    send_first(bulk_action)
    publish_progress(organisation_id, bulk_action.id)
    return redirect(url_for("bulk_actions.show", bulk_action_id=bulk_action.id), 303)


@blueprint.route("/delete-all/<entity_name>", methods=["GET", "POST"])
def delete_all(entity_name: str) -> BaseResponse:
    """Delete every record at once, when an owner types their number."""
    entity = find_entity(entity_name) or abort(404)
    if not is_owner():
        abort(403, OWNERS_ONLY)
    organisation_id, user_id = current_organisation().id, current_user.id
    count = count_selected(entity, organisation_id, EVERYTHING, utc_now())
    if request.method == "GET":
        return render_page("bulk_actions/verbs/delete_all.html", entity=entity, count=count)
    try:
        order = Order(Verb.DELETE_ALL, entity, selected_at=utc_now())
        order = confirmed(order, organisation_id, _typed_number())
        bulk_action = start_verb(organisation_id, user_id, order, most_per_hour=_settings().bulk_actions_per_hour)
        db.session.commit()
    except (OtherNumberError, TooManyError) as error:
        db.session.rollback()
        page, status = "bulk_actions/verbs/delete_all.html", 429 if isinstance(error, TooManyError) else 422
        return render_page(page, status=status, entity=entity, count=count, problem=str(error))
    publish_progress(organisation_id, bulk_action.id)
    send_work()
    return redirect(url_for("bulk_actions.show", bulk_action_id=bulk_action.id), 303)


@blueprint.post("/<uuid:bulk_action_id>/undo")
def undo(bulk_action_id: UUID) -> BaseResponse:
    """Take back what a bulk action did, by another one."""
    organisation_id, user_id = current_organisation().id, current_user.id
    source = lock_bulk_action(organisation_id, bulk_action_id) or abort(404)
    try:
        started = start_undo(source, user_id, most_per_hour=_settings().bulk_actions_per_hour)
        db.session.commit()
    except (NotUndoableError, TooManyError) as error:
        db.session.rollback()
        flash(str(error), "error")
        return redirect(url_for("bulk_actions.show", bulk_action_id=bulk_action_id), 303)
    publish_progress(organisation_id, started.id)
    send_work()
    return redirect(url_for("bulk_actions.show", bulk_action_id=started.id), 303)


@blueprint.get("/<uuid:bulk_action_id>/records")
def records(bulk_action_id: UUID) -> Response:
    """The records of one outcome, as they are now."""
    bulk_action = with_details(_bulk_action_or_404(bulk_action_id))
    outcome = request.args.get("outcome", "succeeded")
    page = list_outcome(bulk_action.organisation_id, bulk_action_id, outcome, request.args.get("place", ""))
    entity = find_entity(bulk_action.entity) or abort(404)
    ids = {row.record_id for row in page.rows if row.record_id}
    found = list_by_ids(entity, bulk_action.organisation_id, list(ids))
    arguments: dict[str, Any] = {"bulk_action_id": bulk_action_id, "outcome": outcome}
    return render_page(
        "bulk_actions/verbs/records.html",
        block="outcome",
        bulk_action=bulk_action,
        title=title_of(bulk_action),
        entity=entity,
        outcome=outcome,
        rows=page.rows,
        count=getattr(bulk_action, f"{outcome}_count", 0),
        found=found,
        deleted=list_deleted_by_ids(entity, bulk_action.organisation_id, ids - found.keys()),
        first_url=url_for(".records", **arguments) if request.args.get("place") else None,
        next_url=url_for(".records", place=page.next_place, **arguments) if page.next_place else None,
    )


@blueprint.get("/<uuid:bulk_action_id>/file")
def file(bulk_action_id: UUID) -> BaseResponse:
    """What was exported."""
    try:
        download = download_of(_bulk_action_or_404(bulk_action_id), _settings().uploads_url)
    except MissingFileError as error:
        abort(404, str(error))
    return download.response(stream_with_context(download.blocks))


def _confirm_page(
    entity: Entity, verb: Verb, selection: Selection, *, problem: str | None = None, status: int = 200
) -> Response:
    organisation = current_organisation()
    moment = utc_now()
    selection = selection.frozen(moment)
    try:
        check_selection(selection, entity, of_deleted=verb is Verb.RESTORE)
        if verb is Verb.DELETE:
            _refuse_everything(entity, selection)
        count = count_selected(entity, organisation.id, selection, moment)
        ids = selected_ids(entity, organisation.id, selection, moment).limit(SAMPLE_SIZE)
        sampled: list[UUID] = list(db.session.scalars(ids))
        db.session.commit()  # who did what is known by now, and need not be asked again when this is confirmed
        sample = list_by_ids(entity, organisation.id, sampled)
    except (SelectionError, FilterError) as error:
        abort(400, str(error))
    names = [f"{ATTRIBUTE_PREFIX}{name}" for name in list_attribute_names(organisation.id, entity)]
    return render_page(
        "bulk_actions/verbs/new.html",
        block="confirm",
        status=status,
        entity=entity,
        verb=verb.value,
        selection=json.dumps(selection.as_json()),
        count=count,
        sample=[entity.label_of(record) for record in sample.values()],
        problem=problem,
        given=request.form,
        context=context_of(organisation.id),
        attributes=names,
        columns=exportable_columns(entity, organisation.id),
        time_zone=organisation.time_zone,
    )


def _refuse_everything(entity: Entity, selection: Selection) -> None:
    """Deleting all that match no filter at all is what "delete all" does; raises FilterError or SelectionError."""
    if selection.is_everything(entity) and not is_owner():
        abort(403, OWNERS_ONLY)


def _typed_number() -> int | None:
    typed = request.form.get("typed_count", "").replace(",", "").strip()
    return int(typed) if typed.isdecimal() else None


def _posted_entity() -> Entity:
    return find_entity(request.form.get("entity", "")) or abort(400, "There is no such kind of record.")


def _posted_verb() -> Verb:
    found = next((verb for verb in OFFERED if verb.value == request.form.get("verb")), None)
    return found or abort(400, "There is no such action.")


def _posted_selection() -> Selection:
    """From the confirm page as it was; from a list its ticked ids, or its filter."""
    try:
        if kept := request.form.get("selection"):
            return selection_from(json.loads(kept))
        if request.form.get("all"):
            arguments = parse_qs(request.form.get("filter", "").lstrip("?"))
            return selection_from({"filter": arguments, "zone": current_organisation().time_zone})
        return selection_from({"ids": request.form.getlist("ids")})
    except SelectionError as error:
        abort(400, f"{error} Go back, and tick at least one record.")
    except (json.JSONDecodeError, RecursionError):
        abort(400, "The selection cannot be read. Go back, and choose once more.")


def _posted_parameters(verb: Verb) -> dict[str, Any]:
    form = request.form
    if verb is Verb.UPDATE:
        names = form.getlist("change")
        return {"values": {name: form.get(f"value-{name}", "") for name in names}}
    if verb is Verb.EXPORT:
        return {
            "format": form.get("format", "csv"),
            "formulas": form.get("formulas", "keep"),
            "columns": form.getlist("columns"),
        }
    return {"tags": form.get("tags", "")} if verb in {Verb.ADD_TAGS, Verb.REMOVE_TAGS} else {}


def _bulk_action_or_404(bulk_action_id: UUID) -> BulkAction:
    return get_bulk_action(current_organisation().id, bulk_action_id) or abort(404)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
