"""Bulk actions over the API: start an import by uploading a file, and watch it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import current_app, redirect, request
from marshmallow import RAISE
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.accounts.queries import get_member_names
from webapp.bulk_actions.api_schemas import (
    BulkActionList,
    BulkActionOut,
    ImportOut,
    ListQuery,
    UploadIn,
    bulk_action_json,
    import_json,
)
from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.files import UploadTooLargeError, deleted_on_error
from webapp.bulk_actions.idempotency import IdempotencyKeyIn, fingerprint_of, idempotency_key, keep_once
from webapp.bulk_actions.import_options import OptionError, apply_options, is_dry_run, run_at_of
from webapp.bulk_actions.importing import LateTryError, start_draft, start_dry_run
from webapp.bulk_actions.mapping import MappingError
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import get_bulk_action, list_bulk_actions
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.tasks import send_work
from webapp.extensions import db
from webapp.lib.multipart import BodyTooLargeError, MultipartError, read_file
from webapp.lib.storage import Storage, storage_at
from webapp.live.channels import bulk_action_channel, stream_url
from webapp.problems import Problem
from webapp.records.entities import find_entity, list_entities

blueprint = APIBlueprint("api_bulk_actions", __name__, url_prefix="/api/v1", tag="Bulk actions")
FORM_SLACK_BYTES = 64 * 1024


@blueprint.post("/bulk-actions/upload")
@blueprint.auth_required(api_auth)
@blueprint.output(ImportOut, status_code=202)
@blueprint.doc(
    summary="Import a CSV file or a workbook",
    description=(
        "Starts an import. Columns are matched automatically unless `mapping` says otherwise; all other form fields "
        "come before the file. Answers as soon as the file is stored; `GET /bulk-actions/{id}/events` streams the "
        "progress. Repeat a call with its `Idempotency-Key` when its answer was lost: it is done once."
    ),
    responses={413: "The file is over the limit.", 422: "The file or an option cannot be used."},
)
def upload() -> dict[str, Any]:
    """Store the file, match its columns and begin."""
    key, options = idempotency_key(), dict[str, str]()
    draft = _upload(options)
    file_key = draft.file_key
    try:
        with deleted_on_error(_storage(), file_key):
            started = _started(draft, options, key)
            if started.file_key != file_key:  # an earlier call with this key was the first
                _storage().delete(file_key)
    except (LateTryError, MappingError, OptionError, UnreadableFileError) as error:
        raise Problem(422, "The file cannot be imported like that", str(error)) from error
    db.session.commit()
    send_work()
    publish_progress(started.organisation_id, started.id)
    return import_json(started)


def _started(draft: BulkAction, options: Mapping[str, str], key: str | None) -> BulkAction:
    """What this call started, or an earlier one with its key that asked for the very same."""
    fingerprint = fingerprint_of("import", {**options, "entity": draft.entity, "file": draft.file_sha256})
    apply_options(draft, options, _storage())
    run_at = run_at_of(options)
    if is_dry_run(options):
        return keep_once(start_dry_run(draft, None, run_at=run_at), key, fingerprint)
    if (kept := keep_once(draft, key, fingerprint)) is not draft:
        return kept
    start_draft(draft, run_at=run_at)
    return draft


def _upload(options: dict[str, str]) -> BulkAction:
    """The stored draft; the form's fields before the file go into `options`."""
    limit_bytes = current_app.extensions["settings"].upload_limit_bytes
    _refuse_too_long(limit_bytes)
    try:
        file = read_file(request.stream, request.content_type or "")
        options.update(file.fields)
        entity = find_entity(options.get("entity") or "contacts")
        if entity is None:
            known = " or ".join(f"`{one.name}`" for one in list_entities())
            raise Problem(422, "Unknown entity", f"There is nothing called “{options['entity'][:40]}”; use {known}.")
        organisation_id = current_organisation().id
        db.session.rollback()  # an upload may take minutes: no transaction waits for it
        return start_upload(
            organisation_id,
            None,
            file.name,
            file.blocks,
            storage=_storage(),
            limit_bytes=limit_bytes,
            entity=entity.name,
        )
    except BodyTooLargeError as error:
        raise Problem(413, "The file is too large", str(UploadTooLargeError(limit_bytes))) from error
    except MultipartError as error:
        raise Problem(422, "No file was received", str(error)) from error
    except UploadTooLargeError as error:
        raise Problem(413, "The file is too large", str(error)) from error
    except UnreadableFileError as error:
        raise Problem(422, "The file cannot be imported", str(error)) from error


def _refuse_too_long(limit_bytes: int) -> None:
    """Say so before a file of gigabytes has crossed the network."""
    request.max_content_length = limit_bytes + FORM_SLACK_BYTES
    if (request.content_length or 0) > limit_bytes + FORM_SLACK_BYTES:
        raise Problem(413, "The file is too large", str(UploadTooLargeError(limit_bytes)))


# Only described: read through a schema, the file would be kept in memory or on this machine's disk first.
vars(upload)["_spec"] |= {
    "body": UploadIn,
    "content_type": "multipart/form-data",
    "args": [(IdempotencyKeyIn(), "headers")],
}


@blueprint.get("/bulk-actions")
@blueprint.auth_required(api_auth)
@blueprint.input(ListQuery, location="query", unknown=RAISE)
@blueprint.output(BulkActionList)
@blueprint.doc(summary="List bulk actions", description="Newest first; `cursor` goes on where a page ended.")
def index(query_data: Mapping[str, Any]) -> dict[str, Any]:
    return _list(query_data)


@blueprint.get("/organisations/<uuid:organisation_id>/bulk-actions")
@blueprint.auth_required(api_auth)
@blueprint.input(ListQuery, location="query", unknown=RAISE)
@blueprint.output(BulkActionList)
@blueprint.doc(summary="List an organisation's bulk actions", description="Only of the API key's own organisation.")
def index_of_organisation(organisation_id: UUID, query_data: Mapping[str, Any]) -> dict[str, Any]:
    if organisation_id != current_organisation().id:
        raise Problem(404, "Not found", "There is no such organisation, or this API key belongs to another.")
    return _list(query_data)


def _list(query: Mapping[str, Any]) -> dict[str, Any]:
    organisation_id, limit = current_organisation().id, query["limit"]
    found = list_bulk_actions(
        organisation_id,
        state=BulkActionState(query["state"]) if "state" in query else None,
        verb=Verb(query["verb"]) if "verb" in query else None,
        entity=query.get("entity"),
        person=query.get("person"),
        before=query.get("cursor"),
        limit=limit + 1,
    )
    next_cursor, people = str(found[limit - 1].id) if len(found) > limit else None, get_member_names(organisation_id)
    return {"data": [bulk_action_json(one, people) for one in found[:limit]], "next_cursor": next_cursor}


@blueprint.get("/bulk-actions/<uuid:bulk_action_id>")
@blueprint.auth_required(api_auth)
@blueprint.output(BulkActionOut)
@blueprint.doc(summary="Read a bulk action")
def show(bulk_action_id: UUID) -> dict[str, Any]:
    return bulk_action_json(get_or_problem(bulk_action_id))


@blueprint.get("/bulk-actions/<uuid:bulk_action_id>/events")
@blueprint.auth_required(api_auth)
@blueprint.doc(
    summary="Stream a bulk action's progress",
    description="Redirects to a stream of server-sent JSON events that ends with the bulk action (`curl -NL`).",
    responses={302: "Go to the stream."},
)
def events(bulk_action_id: UUID) -> BaseResponse:
    bulk_action = get_or_problem(bulk_action_id)
    channel = bulk_action_channel(bulk_action.organisation_id, bulk_action.id)
    publish_progress(bulk_action.organisation_id, bulk_action.id)
    return redirect(stream_url(current_app.extensions["settings"], channel, html=False), 302)


def get_or_problem(bulk_action_id: UUID) -> BulkAction:
    """The organisation's bulk action, or the answer that there is none."""
    bulk_action = get_bulk_action(current_organisation().id, bulk_action_id)
    if bulk_action is None:
        raise Problem(404, "Not found", "There is no such bulk action, or it belongs to another organisation.")
    return bulk_action


def _storage() -> Storage:
    return storage_at(current_app.extensions["settings"].uploads_url)
