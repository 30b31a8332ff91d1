"""Uploads over the API by tus, for programs whose line may break."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint, Schema, fields
from flask import Response, request, url_for

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.bulk_actions import tus_views as tus
from webapp.bulk_actions.api_schemas import ImportOptionsIn, ImportOut, import_json
from webapp.bulk_actions.import_options import OptionError, apply_options, is_dry_run, run_at_of
from webapp.bulk_actions.importing import LateTryError, start_draft, start_dry_run
from webapp.bulk_actions.mapping import MappingError
from webapp.bulk_actions.models import BulkAction, BulkActionState
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import lock_bulk_action
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.tasks import send_work
from webapp.extensions import db
from webapp.problems import Problem

blueprint = APIBlueprint("api_uploads", __name__, url_prefix="/api/v1", tag="Uploads")
blueprint.after_request(tus.add_protocol_headers)


class TusIn(Schema):
    """The headers of every call of the protocol."""

    version = fields.String(required=True, data_key="Tus-Resumable", metadata={"example": tus.VERSION})


class CreationIn(TusIn):
    """The headers that announce an upload."""

    length = fields.Integer(required=True, data_key="Upload-Length", metadata={"description": "The file's bytes."})
    names = fields.String(
        data_key="Upload-Metadata",
        metadata={
            "description": "`filename` and `entity`, each with its text as Base64.",
            "example": "filename cGVvcGxlLmNzdg==,entity Y29udGFjdHM=",
        },
    )


class BytesIn(TusIn):
    """The headers of some bytes of an upload."""

    offset = fields.Integer(required=True, data_key="Upload-Offset", metadata={"description": "Where they belong."})


class UploadOut(Schema):
    """An upload as it stands."""

    id = fields.UUID()
    byte_count = fields.Integer(metadata={"description": "The file's bytes."})
    received_byte_count = fields.Integer(metadata={"description": "So many of them are kept."})
    bulk_action_id = fields.UUID(
        allow_none=True, metadata={"description": "The draft that it became, when every byte is there."}
    )


@blueprint.post("/uploads")
@blueprint.auth_required(api_auth)
@blueprint.doc(
    summary="Begin an upload that survives a broken line",
    description=(
        f"[tus](https://tus.io) {tus.VERSION} with the extensions {tus.EXTENSIONS}: any client of the protocol will do."
        " Bytes may come along, as `application/offset+octet-stream`. When every byte is there,"
        " `POST /uploads/{id}/import` begins the import."
    ),
    responses={
        201: "`Location` is the upload's address.",
        400: "A header is missing or malformed.",
        412: "Another version of the protocol.",
        413: "The file is over the limit.",
        422: "The file is empty, or of no kind of records.",
    },
)
def create() -> Response:
    """Announce a file."""
    upload = tus.new_upload(current_organisation().id, None)
    db.session.add(upload)
    db.session.commit()
    return tus.created(upload.organisation_id, upload.id, _upload_url, _result_url)


@blueprint.get("/uploads/<uuid:upload_id>")
@blueprint.auth_required(api_auth)
@blueprint.output(UploadOut)
@blueprint.doc(
    summary="Read an upload",
    description="`HEAD` answers the same in the protocol's headers: `Upload-Offset` says where to go on.",
    responses={412: "Another version of the protocol.", 423: "Its pieces are being joined; ask again in a moment."},
)
def show(upload_id: UUID) -> Any:
    """How far it is."""
    organisation_id = current_organisation().id
    if request.method == "HEAD":
        return tus.stand(organisation_id, upload_id, _result_url)
    upload = tus.get_or_404(organisation_id, upload_id)
    tus.finish_if_whole(upload)
    return {name: getattr(upload, name) for name in ("id", "byte_count", "received_byte_count", "bulk_action_id")}


@blueprint.patch("/uploads/<uuid:upload_id>")
@blueprint.auth_required(api_auth)
@blueprint.doc(
    summary="Send bytes of an upload",
    description="As `application/offset+octet-stream`, from where the last ones ended; what comes in counts.",
    responses={
        204: "Kept. `Upload-Offset` says where to go on; after the last byte `Upload-Result` names the draft.",
        409: "The bytes do not begin where the last ones ended.",
        412: "Another version of the protocol.",
        413: "More bytes than were announced.",
        415: "Another content type.",
        422: "The file can't be imported.",
        423: "Another request sends bytes of it.",
    },
)
def update(upload_id: UUID) -> Response:
    """Take bytes."""
    return tus.receive(current_organisation().id, upload_id, _result_url)


@blueprint.delete("/uploads/<uuid:upload_id>")
@blueprint.auth_required(api_auth)
@blueprint.doc(
    summary="Cancel an upload",
    description="Its bytes are removed. A draft or an import that it became stays.",
    responses={204: "Gone.", 412: "Another version of the protocol.", 423: "Its pieces are being joined."},
)
def destroy(upload_id: UUID) -> Response:
    """Forget it."""
    return tus.remove(current_organisation().id, upload_id)


@blueprint.post("/uploads/<uuid:upload_id>/import")
@blueprint.auth_required(api_auth)
@blueprint.output(ImportOut, status_code=202)
@blueprint.doc(
    summary="Import an uploaded file",
    description=(
        "Starts the import, with the options of `POST /bulk-actions/upload` as form fields. Called again, it answers"
        " with the import that the first call started. Each call for a dry run starts one."
    ),
    responses={409: "Bytes of the file are missing.", 422: "The file or an option cannot be used."},
)
def start(upload_id: UUID) -> dict[str, Any]:
    """Begin, once."""
    organisation_id = current_organisation().id
    bulk_action_id = tus.finish_if_whole(tus.get_or_404(organisation_id, upload_id))
    if bulk_action_id is None:
        raise Problem(409, "The upload is not whole", "Send the bytes that are missing first.")
    draft = lock_bulk_action(organisation_id, bulk_action_id)
    if draft is None:
        raise Problem(404, "Not found", "Nobody started this import for a week, so it was removed.")
    if draft.state is BulkActionState.DRAFT:
        return import_json(_start(draft, request.form.to_dict()))
    return import_json(draft)


def _start(draft: BulkAction, options: dict[str, str]) -> BulkAction:
    """What was started: the draft, or a dry run of it, after which it can still be started."""
    started = draft
    try:
        apply_options(draft, options, tus.storage())
        if is_dry_run(options):
            started = start_dry_run(draft, None, run_at=run_at_of(options))
        else:
            start_draft(draft, run_at=run_at_of(options))
    except (LateTryError, MappingError, OptionError, UnreadableFileError) as error:
        raise Problem(422, "The file cannot be imported like that", str(error)) from error
    db.session.commit()
    send_work()
    publish_progress(started.organisation_id, started.id)
    return started


def _upload_url(upload_id: UUID) -> str:
    return url_for("api_uploads.show", upload_id=upload_id)


def _result_url(bulk_action_id: UUID) -> str:
    return url_for("api_bulk_actions.show", bulk_action_id=bulk_action_id)


def _describe(view: object, **parts: object) -> None:
    """Only described: a header that is missing must not be refused before anybody asked whether the upload is there."""
    vars(view)["_spec"] |= parts


_describe(create, args=[(CreationIn(), "headers")])
_describe(update, args=[(BytesIn(), "headers")])
_describe(destroy, args=[(TusIn(), "headers")])
_describe(start, body=ImportOptionsIn, content_type="application/x-www-form-urlencoded")
