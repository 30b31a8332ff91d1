"""Bulk actions over the API: start an import by uploading a file, and watch it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint, Schema, fields
from apiflask.validators import OneOf, Range
from flask import current_app, redirect, request
from marshmallow import RAISE
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.accounts.queries import get_member_names
from webapp.bulk_actions.detect import DELIMITERS
from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.encoding import ENCODINGS
from webapp.bulk_actions.files import UploadTooLargeError, deleted_on_error
from webapp.bulk_actions.idempotency import IdempotencyKeyIn, fingerprint_of, idempotency_key, keep_once
from webapp.bulk_actions.import_options import OptionError, apply_options, is_dry_run, run_at_of
from webapp.bulk_actions.importing import LateTryError, start_draft, start_dry_run
from webapp.bulk_actions.mapping import MappingError
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.progress import progress_of, publish_progress
from webapp.bulk_actions.queries import get_bulk_action, list_bulk_actions
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.same_file import EarlierImportOut, earlier_imports_json
from webapp.bulk_actions.tasks import send_work
from webapp.extensions import db
from webapp.lib.multipart import BodyTooLargeError, MultipartError, read_file
from webapp.lib.storage import Storage, storage_at
from webapp.live.channels import bulk_action_channel, stream_url
from webapp.problems import Problem
from webapp.records.entities import find_entity, list_entities
from webapp.records.rules import Mode

blueprint = APIBlueprint("api_bulk_actions", __name__, url_prefix="/api/v1", tag="Bulk actions")
FORM_SLACK_BYTES = 64 * 1024
MAX_LIMIT = 100
FILE_DOC = {"type": "string", "format": "binary", "description": "A CSV file; columns are matched by their names."}


class ColumnOut(Schema):
    """A column of the file. Two may have the same name, so its place tells which one is meant."""

    column = fields.Integer(metadata={"description": "Its place in the file; the first is 1.", "example": 1})
    name = fields.String(metadata={"description": "Its name in the header.", "example": "E-Mail"})
    field = fields.String(
        allow_none=True,
        metadata={"description": "The field, or null for a column that is left out.", "example": "email"},
    )


class ReadAsOut(Schema):
    """How an import's file is read. A workbook's sheet has neither encoding nor delimiter of its own."""

    encoding = fields.String()
    delimiter = fields.String()
    has_header = fields.Boolean()
    sheet = fields.String(metadata={"description": "Of a workbook, else empty."})


class PersonOut(Schema):
    """Who started it."""

    id = fields.UUID()
    name = fields.String(allow_none=True, metadata={"description": "Null for somebody who left the organisation."})


class BulkActionOut(Schema):
    """A bulk action as it stands."""

    id = fields.UUID(metadata={"description": "Its id."})
    verb = fields.String(metadata={"example": "import"})
    entity = fields.String(metadata={"example": "contacts"})
    state = fields.String(metadata={"description": ", ".join(state.value for state in BulkActionState) + "."})
    phase = fields.String(metadata={"description": "plan, stage, merge, work or finish."})
    file_name = fields.String()
    file_byte_count = fields.Integer()
    row_count = fields.Integer(metadata={"description": "Rows of data; an estimate until the whole file was seen."})
    done_count = fields.Integer(
        metadata={"description": "Rows done; one that is checked and not written yet counts half."}
    )
    created_count = fields.Integer()
    updated_count = fields.Integer()
    unchanged_count = fields.Integer()
    rejected_count = fields.Integer()
    duplicate_count = fields.Integer(metadata={"description": "Rows whose key came again further down in the file."})
    skipped_count = fields.Integer(metadata={"description": "Known records left alone, or records that were so."})
    succeeded_count = fields.Integer(metadata={"description": "Records that the verb was done to."})
    failed_count = fields.Integer(metadata={"description": "Records that it could not be done to, each with a reason."})
    is_dry_run = fields.Boolean()
    rules = fields.Dict(metadata={"description": "What an import may do."})
    parameters = fields.Dict(metadata={"description": "What the verb was told beside the selection."})
    selection = fields.Dict(allow_none=True)
    source_id = fields.UUID(
        allow_none=True, metadata={"description": "The bulk action that this one undoes, or the upload that it tries."}
    )
    run_at = fields.DateTime(
        allow_none=True, metadata={"description": "It does not begin, or go on, before; null for at once."}
    )
    wait_reason = fields.String(
        allow_none=True, metadata={"description": "Why it waits until `run_at`, if nobody asked for that."}
    )
    fraction = fields.Float()
    rows_per_second = fields.Integer()
    seconds_left = fields.Integer(allow_none=True)
    mapping = fields.List(
        fields.Nested(ColumnOut),
        metadata={"description": "Every column of the file, in its order, and the field that it goes into."},
    )
    read_as = fields.Nested(ReadAsOut, allow_none=True)
    error = fields.String(allow_none=True)
    created_by = fields.Nested(PersonOut, allow_none=True, metadata={"description": "Null for a program."})
    created_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    ended_at = fields.DateTime(allow_none=True)


class ImportOut(BulkActionOut):
    """An import that was just started."""

    earlier_imports = fields.List(
        fields.Nested(EarlierImportOut),
        metadata={"description": "The last imports of the very same file, by its SHA-256: it forbids nothing."},
    )


class BulkActionList(Schema):
    """Bulk actions, newest first."""

    data = fields.List(fields.Nested(BulkActionOut))
    next_cursor = fields.String(allow_none=True)


class ImportOptionsIn(Schema):
    """How a file is imported."""

    mode = fields.String(validate=OneOf([mode.value for mode in Mode]))
    mapping = fields.String(
        metadata={
            "description": 'JSON: column, by its name or its place (the first is 1), to field, "attributes.<name>" or '
            "null. A column that is not named stays as it is matched.",
            "example": '{"Mail": "email", "Shoe size": "attributes.Shoe size", "4": null}',
        }
    )
    keep_unmapped = fields.Boolean(metadata={"description": "Keep columns that no field matches as own fields."})
    rules = fields.String(
        metadata={
            "description": "JSON: `policies` say what a field does where a value is there (overwrite, fill blanks "
            "only, leave all that exist as they are; tags also add); in fields of `cleared` a blank cell empties it.",
            "example": '{"policies": {"city": "fill", "tags": "overwrite"}, "cleared": ["notes"]}',
        }
    )
    region = fields.String(metadata={"description": "ISO 3166 code of the country of phone numbers without +."})
    encoding = fields.String(validate=OneOf(ENCODINGS), metadata={"description": "Detected unless it is said."})
    delimiter = fields.String(validate=OneOf(DELIMITERS), metadata={"description": "Detected unless it is said."})
    has_header = fields.Boolean(metadata={"description": "Whether the first row names the columns."})
    sheet = fields.String(metadata={"description": "Of a workbook; otherwise its first visible one."})
    dry_run = fields.Boolean(
        metadata={
            "description": "Report everything, and change nothing. The file is kept for a week: "
            "`POST /bulk-actions/{id}/start` then imports it."
        }
    )
    run_at = fields.DateTime(metadata={"description": "Start then."})


class UploadIn(ImportOptionsIn):
    """The form of an upload."""

    entity = fields.String(load_default="contacts", validate=OneOf(["contacts", "products"]))
    file = fields.Raw(required=True, metadata=FILE_DOC)


class ListQuery(Schema):
    """Which bulk actions, and how many."""

    verb = fields.String(validate=OneOf([verb.value for verb in Verb]))
    entity = fields.String(validate=OneOf(["contacts", "products"]))
    state = fields.String(validate=OneOf([state.value for state in BulkActionState]))
    person = fields.UUID(metadata={"description": "The id of whoever started it, as in `created_by`."})
    cursor = fields.UUID()
    limit = fields.Integer(load_default=20, validate=Range(1, MAX_LIMIT))


def bulk_action_json(bulk_action: BulkAction, people: Mapping[UUID, str] | None = None) -> dict[str, Any]:
    """What a program is told of a bulk action; `people` are the organisation's, where a list knows them already."""
    progress = progress_of(bulk_action)
    return {
        "id": bulk_action.id,
        "verb": bulk_action.verb.value,
        "entity": bulk_action.entity,
        "state": progress.state,
        "phase": progress.phase,
        "file_name": bulk_action.file_name,
        "file_byte_count": bulk_action.file_byte_count,
        "row_count": progress.rows_total,
        "done_count": progress.rows_done,
        **{name: getattr(progress, name) for name in COUNTS},
        "fraction": progress.fraction,
        "rows_per_second": progress.rows_per_second,
        "seconds_left": progress.seconds_left,
        "wait_reason": progress.wait_reason,
        "mapping": _columns_json(bulk_action),
        "read_as": {name: bulk_action.format.get(name) for name in READ_AS} if bulk_action.format else None,
        **{name: getattr(bulk_action, name) for name in PLAIN},
        "error": bulk_action.error,
        "created_by": _person_json(bulk_action, people),
        "created_at": bulk_action.created_at,
        "started_at": bulk_action.started_at,
        "ended_at": bulk_action.ended_at,
    }


def import_json(bulk_action: BulkAction) -> dict[str, Any]:
    """The same, and which imports had this very file."""
    return bulk_action_json(bulk_action) | {"earlier_imports": earlier_imports_json(bulk_action)}


def _person_json(bulk_action: BulkAction, people: Mapping[UUID, str] | None) -> dict[str, Any] | None:
    if bulk_action.created_by is None:
        return None
    known = get_member_names(bulk_action.organisation_id) if people is None else people
    return {"id": bulk_action.created_by, "name": known.get(bulk_action.created_by)}


def _columns_json(bulk_action: BulkAction) -> list[dict[str, Any]]:
    return [
        {"column": column + 1, "name": name, "field": bulk_action.mapping.get(str(column))}
        for column, name in enumerate(bulk_action.format.get("header", []))
    ]


READ_AS = ("encoding", "delimiter", "has_header", "sheet")
PLAIN = ("is_dry_run", "rules", "parameters", "selection", "source_id", "run_at")
COUNTS = (
    "created_count", "updated_count", "unchanged_count", "rejected_count", "duplicate_count",
    "skipped_count", "succeeded_count", "failed_count",
)  # fmt: skip


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
