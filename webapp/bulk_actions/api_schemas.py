"""What the API of bulk actions takes and tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apiflask import Schema, fields
from apiflask.validators import OneOf, Range

from webapp.accounts.queries import get_member_names
from webapp.bulk_actions.detect import DELIMITERS
from webapp.bulk_actions.encoding import ENCODINGS
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.progress import progress_of
from webapp.bulk_actions.same_file import EarlierImportOut, earlier_imports_json
from webapp.records.rules import Mode

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
