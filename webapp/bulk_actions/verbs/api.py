"""Verbs over many records, for programs: start, cancel, undo, and what became of each record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from apiflask import Schema, fields
from apiflask.validators import OneOf, Range
from flask import current_app, stream_with_context
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.bulk_actions import service
from webapp.bulk_actions.api import blueprint, get_or_problem
from webapp.bulk_actions.api_schemas import BulkActionOut, bulk_action_json
from webapp.bulk_actions.idempotency import find_earlier, fingerprint_of, idempotency_key, keep_once, takes_key
from webapp.bulk_actions.models import BulkAction, Verb
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import (
    list_rejected_rows,
    list_replaced_rows,
    lock_bulk_action,
)
from webapp.bulk_actions.retention import GONE_AFTER, with_details
from webapp.bulk_actions.tasks import send_first, send_work
from webapp.bulk_actions.verbs.confirmation import OtherNumberError, confirmed
from webapp.bulk_actions.verbs.downloads import MissingFileError, download_of
from webapp.bulk_actions.verbs.parameters import ParameterError
from webapp.bulk_actions.verbs.queries import list_outcome
from webapp.bulk_actions.verbs.selection import SelectionError, selection_from
from webapp.bulk_actions.verbs.service import NotUndoableError, Order, TooManyError, start_undo, start_verb
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.problems import Problem
from webapp.records.entities import get_entity, list_entities
from webapp.records.filters import FilterError

OFFERED = tuple(verb for verb in Verb if verb not in {Verb.IMPORT, Verb.UNDO, Verb.DELETE_ALL})
MAX_ROWS = 500
EXAMPLE = {
    "verb": "add_tags",
    "entity": "contacts",
    "selection": {"filter": {"where": ["country:is:Germany"], "tag": ["newsletter"]}},
    "parameters": {"tags": ["vip"]},
}


class VerbIn(Schema):
    """A verb over a selection."""

    verb = fields.String(required=True, validate=OneOf([verb.value for verb in OFFERED]))
    entity = fields.String(required=True, metadata={"description": "contacts or products."})
    selection = fields.Dict(
        required=True,
        metadata={
            "description": 'Either {"ids": […]}, or {"filter": {…}, "zone": "Europe/Berlin"} with the arguments of the '
            "list as lists; frozen now. `at` beside the filter freezes what people did (`did`) at an earlier moment, "
            "such as that of a count. For `restore` ids of deleted records, or a `deletion_id`."
        },
    )
    parameters = fields.Dict(
        load_default=dict,
        metadata={
            "description": 'update: {"values": {field: value}}; add_tags, remove_tags: {"tags": […]}; export: '
            '{"format": "csv" or "xlsx", "columns": […], "formulas": "keep" or "neutralise"}; all columns without any.'
        },
    )
    run_at = fields.AwareDateTime(load_default=None, metadata={"description": "Start then, with what is selected now."})
    confirm = fields.Integer(
        load_default=None,
        strict=True,
        metadata={
            "description": "How many records are selected. `delete` needs it; with another number nothing begins, and "
            "the problem's `count` says how many there are."
        },
    )


class OutcomeQuery(Schema):
    """Which outcome, and from where on."""

    outcome = fields.String(
        load_default="succeeded",
        validate=OneOf(["created", "updated", "unchanged", "skipped", "succeeded", "failed"]),
    )
    cursor = fields.String(load_default="")
    limit = fields.Integer(load_default=100, validate=Range(1, MAX_ROWS))


class OutcomeOut(Schema):
    """A record with this outcome."""

    record_id = fields.UUID(allow_none=True)
    row_number = fields.Integer(allow_none=True, metadata={"description": "Of an import's file."})
    reason = fields.String(allow_none=True)


class OutcomeList(Schema):
    """A page of an outcome."""

    data = fields.List(fields.Nested(OutcomeOut))
    next_cursor = fields.String(allow_none=True)


class RowQuery(Schema):
    """Which rows of an import's file, and from where on."""

    outcome = fields.String(load_default="rejected", validate=OneOf(["rejected", "duplicate"]))
    after = fields.Integer(load_default=0, metadata={"description": "The last row number of the page before."})
    limit = fields.Integer(load_default=100, validate=Range(1, MAX_ROWS))


class RowOut(Schema):
    """A rejected row with its cells and the reason, or a row that a later one replaced."""

    row_number = fields.Integer()
    reason = fields.String()
    cells = fields.List(fields.String())
    replaced_by_row_number = fields.Integer()
    record_key = fields.String(
        allow_none=True, metadata={"description": "Of a replaced row: what tells its record, as it is compared."}
    )


class RowList(Schema):
    """A page of rows."""

    data = fields.List(fields.Nested(RowOut))


@blueprint.post("/bulk-actions")
@blueprint.auth_required(api_auth)
@blueprint.input(VerbIn, example=EXAMPLE)
@blueprint.output(BulkActionOut, status_code=202)
@blueprint.doc(
    summary="Do something to many records",
    description="The selection is frozen at this moment. An `Idempotency-Key` makes a repeated call answer the same.",
    responses={
        409: "Another number of records is selected than `confirm` says; `count` has it.",
        422: "Selection or parameters cannot be used.",
        429: "Too many within an hour; see Retry-After.",
    },
)
@takes_key
def create(json_data: Mapping[str, Any]) -> ResponseReturnValue:
    return _once("verb", json_data, lambda: _started(_order_confirmed(json_data)))


class ConfirmQuery(Schema):
    """How many records the caller expects to delete."""

    confirm = fields.Integer(required=True, metadata={"description": "The exact number of records that there are."})


ALL_TEXT = "By one atomic statement; they can be restored for 30 days by undoing this bulk action."
ANOTHER = {409: "There is another number of records than `confirm` says."}


@blueprint.delete("/contacts")
@blueprint.auth_required(api_auth)
@blueprint.input(ConfirmQuery, location="query")
@blueprint.output(BulkActionOut, status_code=202)
@blueprint.doc(summary="Delete all contacts", description=ALL_TEXT, responses=ANOTHER)
@takes_key
def delete_all_contacts(query_data: Mapping[str, Any]) -> ResponseReturnValue:
    return _delete_all("contacts", query_data["confirm"])


@blueprint.delete("/products")
@blueprint.auth_required(api_auth)
@blueprint.input(ConfirmQuery, location="query")
@blueprint.output(BulkActionOut, status_code=202)
@blueprint.doc(summary="Delete all products", description=ALL_TEXT, responses=ANOTHER)
@takes_key
def delete_all_products(query_data: Mapping[str, Any]) -> ResponseReturnValue:
    return _delete_all("products", query_data["confirm"])


@blueprint.post("/bulk-actions/<uuid:bulk_action_id>/undo")
@blueprint.auth_required(api_auth)
@blueprint.output(BulkActionOut, status_code=202)
@blueprint.doc(
    summary="Undo a bulk action",
    description="By another one, whose report names what was changed since and so stays as it is.",
    responses={409: "It cannot be undone."},
)
@takes_key
def undo(bulk_action_id: UUID) -> ResponseReturnValue:
    source = _locked(bulk_action_id)
    return _once("undo", bulk_action_id, lambda: _started_undo(source))


@blueprint.post("/bulk-actions/<uuid:bulk_action_id>/cancel")
@blueprint.auth_required(api_auth)
@blueprint.output(BulkActionOut)
@blueprint.doc(summary="Cancel a bulk action", description="What is done by then stays. One that is over stays so.")
def cancel(bulk_action_id: UUID) -> dict[str, Any]:
    bulk_action = _locked(bulk_action_id)
    service.cancel(bulk_action)
    db.session.commit()
    publish_progress(bulk_action.organisation_id, bulk_action.id)
    return bulk_action_json(get_or_problem(bulk_action_id))


@blueprint.post("/bulk-actions/<uuid:bulk_action_id>/run")
@blueprint.auth_required(api_auth)
@blueprint.output(BulkActionOut)
@blueprint.doc(
    summary="Start a bulk action now",
    description="It waits no longer for its `run_at`. One that has begun, or is over, goes on as it is.",
)
def run(bulk_action_id: UUID) -> dict[str, Any]:
    bulk_action = _locked(bulk_action_id)
    service.start_now(bulk_action)
    db.session.commit()
    send_work()
    publish_progress(bulk_action.organisation_id, bulk_action.id)
    return bulk_action_json(get_or_problem(bulk_action_id))


@blueprint.get("/bulk-actions/<uuid:bulk_action_id>/records")
@blueprint.auth_required(api_auth)
@blueprint.input(OutcomeQuery, location="query")
@blueprint.output(OutcomeList)
@blueprint.doc(summary="List the records of one outcome", responses={410: GONE_AFTER})
def records(bulk_action_id: UUID, query_data: Mapping[str, Any]) -> dict[str, Any]:
    bulk_action = with_details(get_or_problem(bulk_action_id))
    place = (bulk_action.organisation_id, bulk_action.id)
    page = list_outcome(*place, query_data["outcome"], query_data["cursor"], query_data["limit"])
    return {"data": page.rows, "next_cursor": page.next_place}


@blueprint.get("/bulk-actions/<uuid:bulk_action_id>/rows")
@blueprint.auth_required(api_auth)
@blueprint.input(RowQuery, location="query")
@blueprint.output(RowList)
@blueprint.doc(summary="List an import's rejected or replaced rows", responses={410: GONE_AFTER})
def rows(bulk_action_id: UUID, query_data: Mapping[str, Any]) -> dict[str, Any]:
    bulk_action = with_details(get_or_problem(bulk_action_id))
    after, limit = query_data["after"], query_data["limit"]
    if query_data["outcome"] == "duplicate":
        return {"data": list_replaced_rows(bulk_action.organisation_id, bulk_action.id, after=after, limit=limit)}
    return {"data": list_rejected_rows(bulk_action.organisation_id, bulk_action.id, after=after, limit=limit)}


@blueprint.get("/bulk-actions/<uuid:bulk_action_id>/file")
@blueprint.auth_required(api_auth)
@blueprint.doc(summary="Download what was exported", responses={404: "There is no file, or it is no longer kept."})
def file(bulk_action_id: UUID) -> BaseResponse:
    try:
        download = download_of(get_or_problem(bulk_action_id), current_app.extensions["settings"].uploads_url)
    except MissingFileError as error:
        raise Problem(404, "No file", str(error)) from error
    return download.response(stream_with_context(download.blocks))


def _once(what: str, asked: object, begin: Callable[[], BulkAction]) -> ResponseReturnValue:
    """Begin, unless an earlier call with this one's key did; that call may also have changed what is asked for here."""
    key, fingerprint = idempotency_key(), fingerprint_of(what, asked)
    if earlier := find_earlier(current_organisation().id, key, fingerprint):
        return _answer(earlier)
    bulk_action = keep_once(begin(), key, fingerprint)
    db.session.commit()
    return _answer(bulk_action)


def _delete_all(entity_name: str, confirmed: int) -> ResponseReturnValue:
    return _once("delete all", [entity_name, confirmed], lambda: _started_delete_all(entity_name, confirmed))


def _started_delete_all(entity_name: str, confirmed: int) -> BulkAction:
    return _started(_confirmed(Order(Verb.DELETE_ALL, get_entity(entity_name), selected_at=utc_now()), confirmed))


def _started_undo(source: BulkAction) -> BulkAction:
    most = current_app.extensions["settings"].bulk_actions_per_hour
    try:
        return start_undo(source, None, most_per_hour=most)
    except NotUndoableError as error:
        raise Problem(409, "Cannot be undone", str(error)) from error
    except TooManyError as error:
        raise _too_many(error) from error


def _order_confirmed(given: Mapping[str, Any]) -> Order:
    """What is to be done, if it is about as many records as the caller says; who deletes has to say."""
    order, number = _order_of(given), given["confirm"]
    return order if number is None and order.verb is not Verb.DELETE else _confirmed(order, number)


def _confirmed(order: Order, number: int | None) -> Order:
    try:
        return confirmed(order, current_organisation().id, number)
    except OtherNumberError as error:
        noun = order.entity.noun(error.count)
        detail = f"{error.count} {noun} would be concerned. Repeat with confirm={error.count}, if that is meant."
        raise Problem(409, "Another number", detail, count=error.count) from error
    except (SelectionError, FilterError) as error:
        raise Problem(422, "Bad selection", str(error)) from error


def _order_of(given: Mapping[str, Any]) -> Order:
    entity = next((one for one in list_entities() if one.name == given["entity"]), None)
    if entity is None:
        raise Problem(422, "Unknown entity", f"There is nothing called “{given['entity'][:40]}”.")
    try:
        selection = selection_from(given["selection"], current_organisation().time_zone)
    except SelectionError as error:
        raise Problem(422, "Bad selection", str(error)) from error
    return Order(Verb(given["verb"]), entity, selection, given["parameters"], given["run_at"], utc_now())


def _started(order: Order) -> BulkAction:
    most = current_app.extensions["settings"].bulk_actions_per_hour
    try:
        return start_verb(current_organisation().id, None, order, most_per_hour=most)
    except (ParameterError, SelectionError, FilterError) as error:
        raise Problem(422, "Cannot be started like that", str(error)) from error
    except TooManyError as error:
        raise _too_many(error) from error


def _too_many(error: TooManyError) -> Problem:
    seconds = max(1, math.ceil((error.retry_at - utc_now()).total_seconds()))
    return Problem(429, "Too many bulk actions", str(error), headers={"Retry-After": str(seconds)})


def _locked(bulk_action_id: UUID) -> BulkAction:
    get_or_problem(bulk_action_id)
    locked = lock_bulk_action(current_organisation().id, bulk_action_id)
    return locked or get_or_problem(bulk_action_id)


def _answer(bulk_action: BulkAction) -> ResponseReturnValue:
    send_first(bulk_action)
    publish_progress(bulk_action.organisation_id, bulk_action.id)
    return bulk_action_json(bulk_action), 202, {"Location": f"/api/v1{bulk_action.path}"}
