"""Starting an import, or a try that changes nothing, from a draft. Nothing here commits or sends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.drafts import DRAFT_LIFETIME, require_draft
from webapp.bulk_actions.mapping import ColumnMapping, check_mapping, fingerprint
from webapp.bulk_actions.models import BulkAction, BulkActionState, ImportMapping, Phase
from webapp.bulk_actions.queries import get_mapping, lock_running_tries
from webapp.bulk_actions.service import cancel, new_chunk
from webapp.extensions import db
from webapp.jobs.service import create_chunked_job
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.records.entities import ATTRIBUTE_PREFIX, get_entity
from webapp.records.service import note_attribute_names

JOB_KIND = "import"
TRY_TIME = timedelta(hours=1)
"""So long before its file goes a try must have begun."""


class LateTryError(ValueError):
    """A try shall begin when its file is gone; the message says until when it may."""

    def __init__(self, latest: datetime) -> None:
        days = DRAFT_LIFETIME.days
        super().__init__(
            f"The file of a dry run is kept for {days} days, so it must begin by {latest:%Y-%m-%dT%H:%M}Z."
            " An import itself may begin later: its file is kept until then."
        )


def start_import(
    bulk_action: BulkAction, mapping: Mapping[str, str | None] | None = None, *, run_at: datetime | None = None
) -> None:
    """Queue the draft with this mapping (default: the suggested one), and remember it for the next such file.

    A dry run leaves nothing behind, so it is not remembered. With `run_at` it waits until then. Commit, then
    `send_work`. Raises MappingError, or NotADraftError when it was started before.
    """
    require_draft(bulk_action)
    chosen = bulk_action.mapping if mapping is None else mapping
    complete = _checked(bulk_action, chosen)
    bulk_action.mapping = dict(complete)
    if not bulk_action.is_dry_run:
        _remember(bulk_action)
        note_attribute_names(bulk_action.organisation_id, bulk_action.entity, _attribute_names(complete))
    job = create_chunked_job(
        bulk_action.organisation_id,
        JOB_KIND,
        f"{'Try' if bulk_action.is_dry_run else 'Import'} {bulk_action.file_name}",
        parameters={"bulk_action_id": str(bulk_action.id)},
        subject_path=bulk_action.path,
        created_by=bulk_action.created_by,
    )
    job.run_at = run_at or job.run_at
    bulk_action.job_id = job.id
    bulk_action.run_at = run_at
    bulk_action.state = BulkActionState.PENDING
    db.session.add(new_chunk(bulk_action, Phase.PLAN, 0))
    db.session.flush()


def _checked(bulk_action: BulkAction, mapping: Mapping[str, str | None]) -> ColumnMapping:
    """The mapping, complete; raises MappingError."""
    return check_mapping(mapping, FileFormat(**bulk_action.format).column_count, get_entity(bulk_action.entity))


def _attribute_names(mapping: ColumnMapping) -> list[str]:
    targets = [target for target in mapping.values() if target and target.startswith(ATTRIBUTE_PREFIX)]
    return [target.removeprefix(ATTRIBUTE_PREFIX) for target in targets]


def _remember(bulk_action: BulkAction) -> None:
    """A file without a header, too: its file of rejected rows has one, and is read only through that."""
    key = fingerprint(FileFormat(**bulk_action.format).header)
    kept = get_mapping(bulk_action.organisation_id, bulk_action.entity, key)
    if kept is None:
        kept = ImportMapping(organisation_id=bulk_action.organisation_id, entity=bulk_action.entity, fingerprint=key)
        db.session.add(kept)
    region = bulk_action.parameters.get("region", "")
    kept.mapping = {"columns": dict(bulk_action.mapping), "rules": dict(bulk_action.rules), "region": region}
    kept.updated_at = utc_now()


def start_draft(draft: BulkAction, *, run_at: datetime | None = None) -> None:
    """`start_import`, which ends tries of the draft that still run: its file goes when the import is over."""
    require_draft(draft)
    _checked(draft, draft.mapping)  # before anything is changed: what cannot start ends no try
    for tried in lock_running_tries(draft.organisation_id, draft.id):
        cancel(tried)
    start_import(draft, run_at=run_at)


def start_as_tried(draft: BulkAction, tried: BulkAction) -> None:
    """Start the draft as it was when it was tried, whatever was chosen since. Raises NotADraftError."""
    require_draft(draft)
    for name in ("format", "mapping", "rules", "parameters"):
        setattr(draft, name, dict(getattr(tried, name)))
    start_draft(draft)


def start_dry_run(draft: BulkAction, user_id: UUID | None, *, run_at: datetime | None = None) -> BulkAction:
    """Queue everything but the writing of a draft's import, which stays a draft with its file.

    Raises MappingError, or LateTryError when the file will not be kept until `run_at`.
    """
    require_draft(draft)
    _checked(draft, draft.mapping)
    if run_at is not None and run_at > (latest := draft.created_at + DRAFT_LIFETIME - TRY_TIME):
        raise LateTryError(latest)
    copied = ("organisation_id", "entity", "file_name", "file_key", "file_byte_count", "file_sha256")
    tried = BulkAction(
        **{name: getattr(draft, name) for name in copied},
        id=uuid7(),
        format=dict(draft.format),
        mapping=dict(draft.mapping),
        rules=dict(draft.rules),
        parameters=dict(draft.parameters),
        created_by=user_id,
        is_dry_run=True,
        source_id=draft.id,
    )
    db.session.add(tried)
    db.session.flush()
    start_import(tried, run_at=run_at)
    return tried
