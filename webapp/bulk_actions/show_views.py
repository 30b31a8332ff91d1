"""A bulk action's own page: live while it works, a report when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask import Response, abort, redirect, render_template, request, stream_with_context, url_for
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.queries import get_member_names
from webapp.bulk_actions import service
from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.import_report import matched_columns, read_as
from webapp.bulk_actions.models import BulkAction, BulkActionState, RejectedRow, ReplacedRow, Verb
from webapp.bulk_actions.progress import progress_of, publish_progress
from webapp.bulk_actions.queries import (
    PAGE_SIZE,
    get_bulk_action,
    list_rejected_rows,
    list_replaced_rows,
)
from webapp.bulk_actions.report import rejected_rows_csv, report_name
from webapp.bulk_actions.retention import DETAILS_KEPT_FOR, GONE, are_details_kept, with_details
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs.service import find_undo, why_not_undoable
from webapp.bulk_actions.verbs.words import chosen_of, said_parameters, title_of
from webapp.bulk_actions.views import blueprint, bulk_action_or_404, locked_or_404, settings_of_app
from webapp.bulk_actions.wording import key_words, mode_words, person_words
from webapp.extensions import db
from webapp.lib.attachments import as_attachment
from webapp.lib.clock import utc_now
from webapp.live.channels import bulk_action_channel, stream_url
from webapp.pages import render_page
from webapp.records.entities import Entity, get_entity
from webapp.records.queries import list_by_keys, list_deleted_by_keys
from webapp.records.rules import rules_from

SEEN_AFTER_SECONDS = 4
DAY_SECONDS = 24 * 60 * 60
"""A browser that is to wait for more than some weeks does not wait at all; nobody keeps a page open for a day."""


@blueprint.get("/<uuid:bulk_action_id>")
def show(bulk_action_id: UUID) -> BaseResponse:
    """How far it is, live, and in the end what became of its rows or records."""
    bulk_action = bulk_action_or_404(bulk_action_id)
    if bulk_action.state is BulkActionState.DRAFT:
        return redirect(url_for(".edit", bulk_action_id=bulk_action_id))
    entity = get_entity(bulk_action.entity)
    return render_page(
        "bulk_actions/show.html",
        block="bulk_action",
        bulk_action=bulk_action,
        title=title_of(bulk_action),
        is_import=bulk_action.verb is Verb.IMPORT,
        progress=progress_of(bulk_action),
        summary=summary_of(bulk_action),
        seconds_to_start=_seconds_to_start(bulk_action),
        person=person_words(bulk_action.created_by, get_member_names(bulk_action.organisation_id)),
        stream=stream_url(settings_of_app(), bulk_action_channel(bulk_action.organisation_id, bulk_action_id)),
        undo=find_undo(bulk_action),
        details_gone=None if are_details_kept(bulk_action) else GONE,
        undo_days=DETAILS_KEPT_FOR.days,
        can_undo=why_not_undoable(bulk_action) is None,
        undo_words=undo_words(bulk_action, entity),
        chosen=chosen_of(bulk_action),
        said_parameters=said_parameters(bulk_action),
        tried_draft=_tried_draft(bulk_action),
        **_import_context(bulk_action, entity),
        singular=entity.singular,
        key_label=key_words(entity),
    )


@blueprint.get("/<uuid:bulk_action_id>/progress")
def progress(bulk_action_id: UUID) -> str:
    """The part of the page that moves, as it is now."""
    bulk_action = bulk_action_or_404(bulk_action_id)
    return render_template("bulk_actions/_progress.html", bulk_action=bulk_action, progress=progress_of(bulk_action))


@blueprint.get("/<uuid:bulk_action_id>/rows")
def rows(bulk_action_id: UUID) -> Response:
    """Rows that were rejected, or replaced by a later one."""
    bulk_action = with_details(bulk_action_or_404(bulk_action_id))
    outcome = "duplicate" if request.args.get("outcome") == "duplicate" else "rejected"
    after = int(request.args.get("after", "0")) if request.args.get("after", "0").isdecimal() else 0
    look = list_replaced_rows if outcome == "duplicate" else list_rejected_rows
    found: Sequence[RejectedRow | ReplacedRow] = look(bulk_action.organisation_id, bulk_action_id, after=after)
    arguments: dict[str, Any] = {"bulk_action_id": bulk_action_id, "outcome": outcome}
    has_more, entity = len(found) == PAGE_SIZE, get_entity(bulk_action.entity)
    return render_page(
        "bulk_actions/rows.html",
        block="rows",
        bulk_action=bulk_action,
        title=title_of(bulk_action),
        outcome=outcome,
        rows=found,
        header=FileFormat(**bulk_action.format).header,
        count=getattr(bulk_action, f"{outcome}_count"),
        key_label=entity.key.label,
        entity=entity,
        **_replacements(bulk_action, entity, found),
        first_url=url_for(".rows", **arguments) if after else None,
        next_url=url_for(".rows", after=found[-1].row_number, **arguments) if has_more else None,
    )


@blueprint.get("/<uuid:bulk_action_id>/rejected-rows.csv")
def rejected_rows(bulk_action_id: UUID) -> Response:
    """The rows that were left out, with number and reason, ready to be mended and dropped again."""
    bulk_action = with_details(bulk_action_or_404(bulk_action_id))
    if bulk_action.verb is not Verb.IMPORT:
        abort(404, "Only imports reject rows.")
    file_format = FileFormat(**bulk_action.format)
    lines = rejected_rows_csv(bulk_action.organisation_id, bulk_action_id, file_format)
    response = Response(stream_with_context(lines), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = as_attachment(report_name(bulk_action.file_name))
    return response


@blueprint.post("/<uuid:bulk_action_id>/cancel")
def cancel(bulk_action_id: UUID) -> BaseResponse:
    """Stop; what is written stays."""
    bulk_action = locked_or_404(bulk_action_id)
    organisation_id = bulk_action.organisation_id
    service.cancel(bulk_action)
    db.session.commit()
    publish_progress(organisation_id, bulk_action_id)
    return redirect(url_for(".show", bulk_action_id=bulk_action_id), 303)


@blueprint.post("/<uuid:bulk_action_id>/run")
def run(bulk_action_id: UUID) -> BaseResponse:
    """Wait no longer, whatever it waits for."""
    bulk_action = locked_or_404(bulk_action_id)
    organisation_id = bulk_action.organisation_id
    service.start_now(bulk_action)
    db.session.commit()
    publish_progress(organisation_id, bulk_action_id)
    send_work()
    return redirect(url_for(".show", bulk_action_id=bulk_action_id), 303)


def _replacements(bulk_action: BulkAction, entity: Entity, rows: Sequence[RejectedRow | ReplacedRow]) -> dict[str, Any]:
    """The records that replaced rows are about now, by their keys, and those that are in the trash."""
    keys = {row.record_key for row in rows if isinstance(row, ReplacedRow) and row.record_key}
    found = list_by_keys(entity, bulk_action.organisation_id, keys) if keys else {}
    deleted = list_deleted_by_keys(entity, bulk_action.organisation_id, keys - found.keys())
    return {"found": found, "deleted": deleted}


def _tried_draft(bulk_action: BulkAction) -> BulkAction | None:
    """The draft that a dry run tried, started or not, while it is kept."""
    if not bulk_action.is_dry_run or bulk_action.source_id is None:
        return None
    return get_bulk_action(bulk_action.organisation_id, bulk_action.source_id)


def _import_context(bulk_action: BulkAction, entity: Entity) -> dict[str, Any]:
    """What the page of an import tells beside its numbers."""
    if bulk_action.verb is not Verb.IMPORT:
        return {}
    return {
        "matched": matched_columns(bulk_action, entity),
        "read_as": read_as(bulk_action),
        "mode_words": mode_words(rules_from((), bulk_action.rules).mode, entity),
    }


def _seconds_to_start(bulk_action: BulkAction) -> int | None:
    """After so many seconds the page of one that begins later is read again; None for never."""
    if bulk_action.run_at is None or bulk_action.state is not BulkActionState.PENDING:
        return None
    seconds = max(0, round((bulk_action.run_at - utc_now()).total_seconds())) + SEEN_AFTER_SECONDS
    return seconds if seconds < DAY_SECONDS else None


def summary_of(bulk_action: BulkAction) -> str:
    """What it did, in a sentence that leaves out what did not happen."""
    is_search = bulk_action.verb is Verb.FIND_PICTURES
    nothing = "skipped" if bulk_action.verb is Verb.IMPORT else "had a picture" if is_search else "were so already"
    outcomes = [
        (bulk_action.created_count, "created"),
        (bulk_action.updated_count, "updated"),
        (bulk_action.unchanged_count, "unchanged"),
        (bulk_action.duplicate_count, "replaced by a later row"),
        (bulk_action.succeeded_count, "searches begun" if is_search else "done"),
        (bulk_action.skipped_count, nothing),
        (bulk_action.failed_count, "not possible"),
    ]
    parts = [f"{count:,} {outcome}" for count, outcome in outcomes if count]
    return f"{', '.join(parts)}." if parts else "nothing."


def undo_words(bulk_action: BulkAction, entity: Entity) -> str:
    """What undoing would do."""
    created, changed = bulk_action.created_count, bulk_action.updated_count + bulk_action.succeeded_count
    if bulk_action.verb is Verb.DELETE:
        return f"{changed:,} {entity.noun(changed)} come back, but those whose {entity.key.label} is taken by now."
    parts = [f"{created:,} created {entity.noun(created)} go into the trash"] if created else []
    parts += [f"{changed:,} changed {entity.noun(changed)} get their values of before back"] if changed else []
    return f"{' and '.join(parts)}. What was changed since stays as it is, and the report names it."
