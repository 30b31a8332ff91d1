"""The pages of a draft: how its file is read, where its columns go, and how its rows would be stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.accounts.queries import list_members
from webapp.bulk_actions import drafts, importing
from webapp.bulk_actions.copies import problem_of_copy
from webapp.bulk_actions.detect import DELIMITERS, FileFormat
from webapp.bulk_actions.drafts import NotADraftError, Preview
from webapp.bulk_actions.encoding import ENCODINGS
from webapp.bulk_actions.mapping import MappingError, check_mapping
from webapp.bulk_actions.mapping_form import form_of, keep_posted, posted_run_at
from webapp.bulk_actions.models import BulkAction, BulkActionState
from webapp.bulk_actions.preview import PreviewPage, is_waiting, place_of_row, preview_rows, read_place
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import list_same_file, lock_bulk_action
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.tasks import prepare, send_work
from webapp.bulk_actions.views import blueprint, bulk_action_or_404, locked_or_404, uploads
from webapp.bulk_actions.wording import DELIMITER_LABELS, ENCODING_LABELS
from webapp.extensions import db
from webapp.jobs.broker import waiting_count
from webapp.lib.ids import uuid7
from webapp.lib.run_times import RunAtError
from webapp.lib.storage import StorageMissingError
from webapp.pages import render_page
from webapp.records.entities import get_entity

NO_FILE = "The file of this upload is no longer kept. Drop it again."


@blueprint.get("/<uuid:bulk_action_id>/mapping")
def edit(bulk_action_id: UUID) -> BaseResponse:
    """How the file is read, and where each of its columns goes."""
    bulk_action = bulk_action_or_404(bulk_action_id)
    if bulk_action.state is not BulkActionState.DRAFT:
        return _to_show(bulk_action_id)
    return _mapping_page(bulk_action)


@blueprint.post("/<uuid:bulk_action_id>/mapping")
def update(bulk_action_id: UUID) -> BaseResponse:
    """Read the file another way, or keep what was chosen so far."""
    bulk_action = locked_or_404(bulk_action_id)
    try:
        if not _change_format(bulk_action):
            keep_posted(bulk_action)
        db.session.commit()
    except NotADraftError:
        return _to_show(bulk_action_id)
    except UnreadableFileError as error:
        db.session.rollback()
        return _mapping_page(bulk_action_or_404(bulk_action_id), file_problem=str(error), status=422)
    only = "1" if request.form.get("problems") else None
    return redirect(url_for(".edit", bulk_action_id=bulk_action_id, problems=only), 303)


@blueprint.post("/<uuid:bulk_action_id>/start")
def start(bulk_action_id: UUID) -> BaseResponse:
    """Begin the import, or try it; workers take it from here."""
    bulk_action = locked_or_404(bulk_action_id)
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
        return _mapping_page(bulk_action_or_404(bulk_action_id), file_problem=str(error), status=422)
    return _to_started(started)


@blueprint.post("/<uuid:bulk_action_id>/import")
def import_tried(bulk_action_id: UUID) -> BaseResponse:
    """Do what was tried, with the same columns and rules."""
    tried = bulk_action_or_404(bulk_action_id)
    draft = lock_bulk_action(tried.organisation_id, tried.source_id) if tried.source_id and tried.is_dry_run else None
    if draft is None:
        abort(404, NO_FILE)
    try:
        importing.start_as_tried(draft, tried)
        db.session.commit()
    except NotADraftError:
        return _to_show(draft.id)
    return _to_started(draft)


@blueprint.get("/<uuid:bulk_action_id>/preview")
def preview(bulk_action_id: UUID) -> BaseResponse:
    """How rows would be stored, from any row on, or only those with problems."""
    bulk_action = bulk_action_or_404(bulk_action_id)
    if bulk_action.state is not BulkActionState.DRAFT:
        return _to_show(bulk_action_id)
    return render_page("bulk_actions/preview.html", block="preview", **_rows_of(bulk_action))


@blueprint.get("/<uuid:bulk_action_id>/preview/more")
def preview_more(bulk_action_id: UUID) -> str:
    """The rows that follow, for the page that goes on looking by itself."""
    return render_template("bulk_actions/_preview_rows.html", **_rows_of(bulk_action_or_404(bulk_action_id)))


@blueprint.get("/<uuid:bulk_action_id>/preview/wait")
def preview_wait(bulk_action_id: UUID) -> str | Response:
    """Whether the whole file can be looked at by now: the page asks until it can."""
    bulk_action = bulk_action_or_404(bulk_action_id)
    if bulk_action.state is not BulkActionState.DRAFT:  # it was started in another tab
        return Response(headers={"HX-Redirect": url_for(".show", bulk_action_id=bulk_action_id)})
    is_ready, problem = not is_waiting(bulk_action, uploads()), problem_of_copy(bulk_action, uploads())
    if not is_ready and not problem and not waiting_count("imports"):  # nobody is about to begin with it
        prepare.send(str(bulk_action.organisation_id), str(bulk_action_id))
    return render_template(
        "bulk_actions/_preview_wait.html",
        bulk_action=bulk_action,
        is_ready=is_ready,
        copy_problem=problem,
        only_problems=bool(request.args.get("problems")),
        nonce=uuid7().hex,
    )


def _start(draft: BulkAction) -> BulkAction:
    if request.form.get("then") == "try":
        return importing.start_dry_run(draft, current_user.id)
    importing.start_draft(draft, run_at=posted_run_at())
    return draft


def _to_started(started: BulkAction) -> BaseResponse:
    organisation_id, started_id = started.organisation_id, started.id
    publish_progress(organisation_id, started_id)
    send_work()
    return _to_show(started_id)


def _change_format(bulk_action: BulkAction) -> bool:
    """Read the file as the form says; whether that differs from before."""
    before = bulk_action.format
    drafts.change_format(
        bulk_action,
        uploads(),
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
    rows = _rows_of(bulk_action)
    preview = _preview_or_404(bulk_action)
    return render_page(
        "bulk_actions/edit.html",
        block="draft",
        status=status,
        format=preview.format,
        columns=preview.columns,
        same_files=list_same_file(bulk_action.organisation_id, bulk_action),
        people={member.user_id: member.name for member in list_members(bulk_action.organisation_id)},
        **form_of(bulk_action, preview),
        **rows,
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


def _preview_or_404(bulk_action: BulkAction) -> Preview:
    try:
        return drafts.preview(bulk_action, uploads())
    except StorageMissingError:
        abort(404, NO_FILE)


def _mapping_problem(bulk_action: BulkAction, file_format: FileFormat) -> str | None:
    """Why the import cannot start with this mapping."""
    try:
        check_mapping(bulk_action.mapping, file_format.column_count, get_entity(bulk_action.entity))
    except MappingError as error:
        return str(error)
    return None


# The rows -----------------------------------------------------------------------------------------


def _rows_of(bulk_action: BulkAction) -> dict[str, Any]:
    """What the preview shows: the rows that the address asks for, and where to go from them."""
    row_number, only_problems = _number("row"), bool(request.args.get("problems"))
    place = place_of_row(bulk_action, row_number) if row_number else read_place(request.args.get("place", ""))
    found_before = _number("found") if only_problems else 0
    try:
        page = preview_rows(bulk_action, uploads(), place, only_problems=only_problems)
    except StorageMissingError:
        abort(404, NO_FILE)
    if page.is_sample and not page.problem:
        prepare.send(str(bulk_action.organisation_id), str(bulk_action.id))
    return {
        "bulk_action": bulk_action,
        "rows_page": page,
        "copy_problem": page.problem,
        "only_problems": only_problems,
        "found_count": found_before + len(page.rows),
        "wanted_row": row_number or _number("wanted"),
        "next_arguments": _next_arguments(page, row_number, found_before, only_problems=only_problems),
        "nonce": uuid7().hex,
    }


def _next_arguments(
    page: PreviewPage, row_number: int, found_before: int, *, only_problems: bool
) -> dict[str, Any] | None:
    """The address's arguments for what follows; None at the end of the file."""
    if page.next_place is None:
        return None
    found = {"problems": 1, "found": found_before + len(page.rows)} if only_problems else {}
    wanted = row_number or _number("wanted")
    still = {"wanted": wanted} if wanted and not page.rows else {}
    return {"place": str(page.next_place), **found, **still}


def _number(name: str) -> int:
    """A number in the address; 0 when there is none."""
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0


def _to_show(bulk_action_id: UUID) -> BaseResponse:
    return redirect(url_for(".show", bulk_action_id=bulk_action_id), 303)
