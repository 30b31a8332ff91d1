"""What programs do with an import once it was tried or is over: start it for real, and fetch its rejected rows."""

from __future__ import annotations

from uuid import UUID

from flask import Response, stream_with_context

from webapp.accounts.api_auth import api_auth
from webapp.bulk_actions import importing
from webapp.bulk_actions.api import blueprint, get_or_problem
from webapp.bulk_actions.api_schemas import BulkActionOut, bulk_action_json
from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.drafts import NotADraftError
from webapp.bulk_actions.models import Verb
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import lock_bulk_action
from webapp.bulk_actions.report import rejected_rows_csv, report_name
from webapp.bulk_actions.retention import GONE_AFTER, with_details
from webapp.bulk_actions.tasks import send_work
from webapp.extensions import db
from webapp.lib.attachments import as_attachment
from webapp.problems import Problem

IN_ONE_FILE = "The file's own columns, then the row's number and the reason: to be mended, and imported again."


@blueprint.post("/bulk-actions/<uuid:bulk_action_id>/start")
@blueprint.auth_required(api_auth)
@blueprint.output(BulkActionOut, status_code=202)
@blueprint.doc(
    summary="Import what was tried",
    description="Starts the import of a dry run's file with the same columns and rules; a file is kept for a week.",
    responses={409: "It was no dry run, its import was started before, or its file is no longer kept."},
)
def start(bulk_action_id: UUID) -> dict[str, object]:
    """Begin the import for real."""
    tried = get_or_problem(bulk_action_id)
    if not tried.is_dry_run or tried.source_id is None:
        raise Problem(409, "Not a dry run", "Only what was tried can be started so.")
    draft = lock_bulk_action(tried.organisation_id, tried.source_id)
    if draft is None:
        raise Problem(409, "No longer kept", "The file of this dry run is no longer kept. Upload it again.")
    try:
        importing.start_as_tried(draft, tried)
    except NotADraftError as error:
        detail = f"The import was started before: it is the bulk action {draft.id}."
        raise Problem(409, "Started before", detail) from error
    db.session.commit()
    send_work()
    publish_progress(draft.organisation_id, draft.id)
    return bulk_action_json(get_or_problem(draft.id))


@blueprint.get("/bulk-actions/<uuid:bulk_action_id>/rejected-rows.csv")
@blueprint.auth_required(api_auth)
@blueprint.doc(
    summary="Download an import's rejected rows",
    description=IN_ONE_FILE,
    responses={404: "There is no such import.", 410: GONE_AFTER},
)
def rejected_rows(bulk_action_id: UUID) -> Response:
    """The rows that were left out, as CSV."""
    bulk_action = with_details(get_or_problem(bulk_action_id))
    if bulk_action.verb is not Verb.IMPORT:
        raise Problem(404, "No rows", "Only imports reject rows.")
    lines = rejected_rows_csv(bulk_action.organisation_id, bulk_action.id, FileFormat(**bulk_action.format))
    response = Response(stream_with_context(lines), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = as_attachment(report_name(bulk_action.file_name))
    return response
