"""Files that are uploaded and not started yet: how they are read, and where their columns go. Nothing commits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete

from webapp.bulk_actions.detect import DELIMITERS, PREVIEW_ROWS, Detected, FileFormat
from webapp.bulk_actions.encoding import ENCODINGS
from webapp.bulk_actions.files import Upload, deleted_on_error, file_key
from webapp.bulk_actions.mapping import ColumnMapping, fingerprint, known_target, match_columns
from webapp.bulk_actions.models import BulkAction, BulkActionState
from webapp.bulk_actions.queries import get_mapping
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.sources import look_again, look_at
from webapp.extensions import db
from webapp.lib.ids import uuid7
from webapp.lib.storage import Storage
from webapp.records.entities import get_entity
from webapp.records.field_types import regions
from webapp.records.rules import as_json, rules_from

DRAFT_LIFETIME = timedelta(days=7)
"""A file that nobody started is kept so long."""
SAMPLES_PER_COLUMN = 3
SAMPLE_LENGTH = 60


class NotADraftError(Exception):
    """The import was started before, so its mapping cannot be changed any more."""


@dataclass(frozen=True)
class Column:
    """A column of the file, as the mapping page shows it."""

    index: int
    name: str
    samples: list[str]
    field: str | None


@dataclass(frozen=True)
class Preview:
    """What the mapping page shows of a draft."""

    format: FileFormat
    columns: list[Column]
    rows: list[list[str]]


def start_upload(
    organisation_id: UUID,
    user_id: UUID | None,
    file_name: str,
    blocks: Iterable[bytes],
    *,
    storage: Storage,
    limit_bytes: int,
    entity: str = "contacts",
) -> BulkAction:
    """Store a file, look at it, and match its columns: a draft.

    Raises UnreadableFileError (UploadTooLargeError when it is over the limit). Whatever is raised, nothing stays.
    """
    bulk_action_id = uuid7()
    key = file_key(organisation_id, bulk_action_id)
    upload = Upload(limit_bytes)
    storage.write(key, upload.watched(blocks))
    bulk_action = BulkAction(
        organisation_id=organisation_id,
        id=bulk_action_id,
        entity=entity,
        file_name=file_name or f"{entity}.csv",
        file_key=key,
        file_byte_count=upload.byte_count,
        file_sha256=upload.sha256,
        created_by=user_id,
    )
    with deleted_on_error(storage, key):
        _detect(bulk_action, upload, storage)
        db.session.add(bulk_action)
        db.session.flush()
    return bulk_action


def _detect(bulk_action: BulkAction, upload: Upload, storage: Storage) -> None:
    _take(bulk_action, look_at(bulk_action, storage, is_utf8=upload.is_utf8, odd_sample=upload.odd_sample))


def _take(bulk_action: BulkAction, detected: Detected) -> None:
    bulk_action.format = detected.format.as_json()
    bulk_action.mapping = dict(_suggest(bulk_action, detected))


def _suggest(bulk_action: BulkAction, detected: Detected) -> ColumnMapping:
    """As a file with these columns was mapped the last time, else by their names."""
    header, entity = detected.format.header, get_entity(bulk_action.entity)
    remembered = get_mapping(bulk_action.organisation_id, bulk_action.entity, fingerprint(header))
    if remembered and detected.format.has_header:
        known = remembered.mapping.get("columns", {})
        bulk_action.rules = remembered.mapping.get("rules", {})
        bulk_action.parameters = {"region": remembered.mapping.get("region", "")}
        return {str(column): known_target(known.get(str(column)), entity) for column in range(len(header))}
    return match_columns(header, detected.rows, entity)


def change_format(
    bulk_action: BulkAction, storage: Storage, *, encoding: str, delimiter: str, has_header: bool, sheet: str = ""
) -> None:
    """Read the draft's file as a person says. Raises UnreadableFileError, with the draft unchanged.

    A workbook has a sheet in place of encoding and delimiter; whether another sheet has a header is looked up anew.
    """
    require_draft(bulk_action)
    before = FileFormat(**bulk_action.format)
    wanted = replace(before, encoding=encoding, delimiter=delimiter, has_header=has_header, sheet=sheet or before.sheet)
    if wanted == before:
        return
    if encoding not in ENCODINGS or delimiter not in DELIMITERS:
        raise UnreadableFileError("Choose one of the encodings and delimiters that are offered.")
    if wanted.sheet != before.sheet and wanted.sheet not in before.sheets:
        raise UnreadableFileError(f"There is no sheet called “{wanted.sheet}”. Choose one of those that are offered.")
    is_other_sheet = wanted.sheet != before.sheet
    _take(bulk_action, look_again(bulk_action, storage, wanted, has_header=None if is_other_sheet else has_header))


def change_mapping(bulk_action: BulkAction, mapping: Mapping[str, str | None]) -> None:
    """Keep what a person chose, complete or not, so that the page shows it again."""
    require_draft(bulk_action)
    columns = range(FileFormat(**bulk_action.format).column_count)
    entity = get_entity(bulk_action.entity)
    bulk_action.mapping = {str(column): known_target(mapping.get(str(column)), entity) for column in columns}


def change_rules(bulk_action: BulkAction, rules: Mapping[str, Any], region: str) -> None:
    """Keep what an import may do, and the country of its phone numbers. Raises ValueError for what is no rule."""
    require_draft(bulk_action)
    bulk_action.rules = as_json(rules_from(tuple(target for target in bulk_action.mapping.values() if target), rules))
    bulk_action.parameters = {**bulk_action.parameters, "region": region if region in regions() else ""}


def preview(bulk_action: BulkAction, storage: Storage) -> Preview:
    """The draft's columns with samples of their cells, and the file's first rows."""
    file_format = FileFormat(**bulk_action.format)
    detected = look_again(bulk_action, storage, file_format, has_header=file_format.has_header)
    columns = [
        Column(index, name, _samples(detected.rows, index), bulk_action.mapping.get(str(index)))
        for index, name in enumerate(file_format.header)
    ]
    return Preview(file_format, columns, detected.rows[:PREVIEW_ROWS])


def _samples(rows: list[list[str]], column: int) -> list[str]:
    """The first different cells of a column that are not blank."""
    cells = (row[column].strip()[:SAMPLE_LENGTH] for row in rows if column < len(row))
    return list(dict.fromkeys(cell for cell in cells if cell))[:SAMPLES_PER_COLUMN]


def delete_drafts(organisation_id: UUID, ids: Collection[UUID], created_before: datetime) -> None:
    """Remove those of these uploads that nobody started; their files are for the caller, after the commit."""
    statement = delete(BulkAction).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.id.in_(ids),
        BulkAction.state == BulkActionState.DRAFT,
        BulkAction.created_at < created_before,
    )
    db.session.execute(statement, execution_options={"synchronize_session": False})


def require_draft(bulk_action: BulkAction) -> None:
    """Raise NotADraftError for what was started."""
    if bulk_action.state is not BulkActionState.DRAFT:
        raise NotADraftError("This import was already started.")
