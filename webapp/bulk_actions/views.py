"""The pages of bulk actions: match a file's columns, watch it go in."""

from __future__ import annotations

from uuid import UUID

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    redirect,
    request,
    url_for,
)
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.accounts.queries import list_members
from webapp.bulk_actions import drafts, importing, service
from webapp.bulk_actions.detect import DELIMITERS, FileFormat
from webapp.bulk_actions.drafts import NotADraftError, Preview
from webapp.bulk_actions.encoding import ENCODINGS
from webapp.bulk_actions.mapping import MappingError, check_mapping
from webapp.bulk_actions.mapping_form import form_of, keep_posted, posted_run_at
from webapp.bulk_actions.models import BulkAction, BulkActionState
from webapp.bulk_actions.preview import PreviewPage, preview_rows
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import (
    PAGE_SIZE,
    get_bulk_action,
    list_bulk_actions,
    list_same_file,
    lock_bulk_action,
    lock_running_tries,
)
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs.words import title_of
from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.run_times import RunAtError
from webapp.lib.storage import Storage, StorageMissingError, storage_at
from webapp.live.channels import jobs_channel, stream_url
from webapp.pages import render_page
from webapp.records.entities import get_entity

blueprint = Blueprint("bulk_actions", __name__, url_prefix="/bulk-actions")

ENCODING_LABELS = {
    "utf-8": "UTF-8",
    "cp1252": "Western European (Windows-1252)",
    "latin-1": "Western European (ISO-8859-1, Latin-1)",
    "cp1250": "Central European (Windows-1250)",
    "cp1251": "Cyrillic (Windows-1251)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "mac_roman": "Western European (old Macintosh)",
    "utf-16-le": "UTF-16, little-endian",
    "utf-16-be": "UTF-16, big-endian",
    "utf-32-le": "UTF-32, little-endian",
    "utf-32-be": "UTF-32, big-endian",
    "shift_jis": "Japanese (Shift JIS)",
    "gb18030": "Chinese, simplified (GB 18030)",
    "big5": "Chinese, traditional (Big5)",
    "euc_kr": "Korean (EUC-KR)",
}
DELIMITER_LABELS = {",": "Commas", ";": "Semicolons", "\t": "Tabs", "|": "Vertical bars"}


@blueprint.get("")
def index() -> Response:
    """Every bulk action, newest first, unfinished uploads too."""
    organisation_id = current_organisation().id
    found = list_bulk_actions(organisation_id, before=_uuid_or_none(request.args.get("before", "")), with_drafts=True)
    next_url = url_for(".index", before=found[-1].id) if len(found) == PAGE_SIZE else None
    return render_page(
        "bulk_actions/index.html",
        block="bulk_actions",
        bulk_actions=found,
        titles={bulk_action.id: title_of(bulk_action) for bulk_action in found},
        next_url=next_url,
        people={member.user_id: member.name for member in list_members(organisation_id)},
        stream=stream_url(settings_of_app(), jobs_channel(organisation_id)),
        upload_limit_bytes=settings_of_app().upload_limit_bytes,
    )


@blueprint.get("/<uuid:bulk_action_id>/mapping")
def edit(bulk_action_id: UUID) -> BaseResponse:
    """How the file is read, and where each of its columns goes."""
    bulk_action = _bulk_action_or_404(bulk_action_id)
    if bulk_action.state is not BulkActionState.DRAFT:
        return redirect(url_for(".show", bulk_action_id=bulk_action_id))
    return _mapping_page(bulk_action)


@blueprint.post("/<uuid:bulk_action_id>/mapping")
def update(bulk_action_id: UUID) -> BaseResponse:
    """Read the file another way, or keep what was chosen so far."""
    bulk_action = _locked_or_404(bulk_action_id)
    try:
        if not _change_format(bulk_action):
            keep_posted(bulk_action)
        db.session.commit()
    except NotADraftError:
        return _to_show(bulk_action_id)
    except UnreadableFileError as error:
        db.session.rollback()
        return _mapping_page(_bulk_action_or_404(bulk_action_id), file_problem=str(error), status=422)
    return redirect(url_for(".edit", bulk_action_id=bulk_action_id), 303)


@blueprint.post("/<uuid:bulk_action_id>/start")
def start(bulk_action_id: UUID) -> BaseResponse:
    """Begin the import; workers take it from here."""
    bulk_action = _locked_or_404(bulk_action_id)
    organisation_id = bulk_action.organisation_id
    try:
        if _change_format(bulk_action):
            return _look_again(bulk_action_id)
        keep_posted(bulk_action)
        started = _start(bulk_action)
        db.session.commit()
    except NotADraftError:
        return _to_show(bulk_action_id)
    except MappingError:
        db.session.commit()
        return _mapping_page(bulk_action, status=422)
    except RunAtError as error:
        db.session.commit()
        return _mapping_page(bulk_action, run_at_problem=str(error), status=422)
    except UnreadableFileError as error:
        db.session.rollback()
        return _mapping_page(_bulk_action_or_404(bulk_action_id), file_problem=str(error), status=422)
    started_id = started.id
    publish_progress(organisation_id, started_id)
    send_work()
    return _to_show(started_id)


def _start(draft: BulkAction) -> BulkAction:
    """Begin the import, or try it."""
    if request.form.get("then") == "try":
        return importing.start_dry_run(draft, current_user.id)
    for tried in lock_running_tries(draft.organisation_id, draft.id):  # its file goes when this one is over
        service.cancel(tried)
    importing.start_import(draft, run_at=posted_run_at())
    return draft


# Matching columns ---------------------------------------------------------------------------------


def _change_format(bulk_action: BulkAction) -> bool:
    """Read the file as the form says; whether that differs from before."""
    before = bulk_action.format
    drafts.change_format(
        bulk_action,
        _storage(),
        encoding=request.form.get("encoding", before["encoding"]),
        delimiter=request.form.get("delimiter", before["delimiter"]),
        has_header="1" in request.form.getlist("has_header") if "has_header" in request.form else before["has_header"],
        sheet=request.form.get("sheet", ""),
    )
    return bulk_action.format != before


def _look_again(bulk_action_id: UUID) -> BaseResponse:
    db.session.commit()
    flash("The file is now read another way. Look at its columns, then start.", "warning")
    return redirect(url_for(".edit", bulk_action_id=bulk_action_id), 303)


def _mapping_page(
    bulk_action: BulkAction, *, file_problem: str | None = None, run_at_problem: str = "", status: int = 200
) -> Response:
    preview = _preview_or_404(bulk_action)
    return render_page(
        "bulk_actions/edit.html",
        block="mapping",
        status=status,
        bulk_action=bulk_action,
        format=preview.format,
        columns=preview.columns,
        same_files=list_same_file(bulk_action.organisation_id, bulk_action),
        **form_of(bulk_action, preview),
        rows_page=_rows_page(bulk_action),
        matched_count=sum(1 for column in preview.columns if column.field),
        problem=_mapping_problem(bulk_action, preview.format),
        file_problem=file_problem,
        run_at=request.form.get("run_at", ""),
        run_at_problem=run_at_problem,
        time_zone=current_organisation().time_zone,
        fields=get_entity(bulk_action.entity).fields,
        encodings=[(name, ENCODING_LABELS.get(name, name)) for name in ENCODINGS],
        delimiters=[(delimiter, DELIMITER_LABELS[delimiter]) for delimiter in DELIMITERS],
        sheets=[(name, name) for name in preview.format.sheets],
    )


def _rows_page(bulk_action: BulkAction) -> PreviewPage:
    only_problems, place = "problems" in request.args, request.args.get("place", "")
    return preview_rows(bulk_action, _storage(), place, only_problems=only_problems)


def _preview_or_404(bulk_action: BulkAction) -> Preview:
    try:
        return drafts.preview(bulk_action, _storage())
    except StorageMissingError:
        abort(404, "The file of this upload is no longer kept. Drop it again.")


def _mapping_problem(bulk_action: BulkAction, file_format: FileFormat) -> str | None:
    """Why the import cannot start with this mapping."""
    try:
        check_mapping(bulk_action.mapping, file_format.column_count, get_entity(bulk_action.entity))
    except MappingError as error:
        return str(error)
    return None


# Small things -------------------------------------------------------------------------------------


def _bulk_action_or_404(bulk_action_id: UUID) -> BulkAction:
    return get_bulk_action(current_organisation().id, bulk_action_id) or abort(404)


def _locked_or_404(bulk_action_id: UUID) -> BulkAction:
    return lock_bulk_action(current_organisation().id, bulk_action_id) or abort(404)


def _to_show(bulk_action_id: UUID) -> BaseResponse:
    return redirect(url_for(".show", bulk_action_id=bulk_action_id), 303)


def settings_of_app() -> Settings:
    """The settings of the app that answers this request."""
    settings: Settings = current_app.extensions["settings"]
    return settings


def _storage() -> Storage:
    return storage_at(settings_of_app().uploads_url)


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
