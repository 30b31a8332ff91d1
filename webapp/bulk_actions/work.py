"""The work on a chunk: planning the file, staging some of its rows, merging some of its keys."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from webapp.bulk_actions.chunks import (
    Sends,
    begin_merge_if_staged,
    check_running,
    finish_merge,
    finish_stage,
    give_back,
    lock_running,
    mark_done,
)
from webapp.bulk_actions.copies import make_copy
from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, Phase
from webapp.bulk_actions.parse import Layout, Rejected, parse
from webapp.bulk_actions.queries import get_bulk_action
from webapp.bulk_actions.records import Span, find_spans
from webapp.bulk_actions.rejecting import note_rejected, rows_among
from webapp.bulk_actions.service import new_chunk
from webapp.bulk_actions.sources import Source, source_of
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage
from webapp.records.context import context_of
from webapp.records.entities import ATTRIBUTE_PREFIX, get_entity
from webapp.records.field_types import MAX_TAGS
from webapp.records.merge import BucketRange, Merge, merge_rows
from webapp.records.rules import rules_from
from webapp.records.staging import StagedRows, stage_rows

CHUNK_BYTES = 1024 * 1024
MIN_CHUNK_BYTES = 64 * 1024
USUAL_CHUNKS = 16
CROWDED = f"With the tags that there are already, these are more than {MAX_TAGS}."
SPANS_PER_STEP = 4
"""Chunks planned in one turn: the first are staged while the rest is still being planned."""


def plan_step(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Plan the next few chunks, and wait for the next turn; the chunk is done with the file's last record."""
    bulk_action = get_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise LookupError(f"Bulk action {chunk.bulk_action_id} is gone.")
    source = source_of(bulk_action)
    if not bulk_action.planned_offset and FileFormat(**bulk_action.format).needs_conversion:
        make_copy(bulk_action, storage)
    size = storage.size(source.key)
    spans = list(islice(_next_spans(bulk_action, source, size, storage), SPANS_PER_STEP))
    bulk_action = lock_running(chunk)
    for span in spans:
        _add_stage_chunk(bulk_action, span)
    bulk_action.planned_offset = spans[-1].end_offset if spans else size
    if bulk_action.planned_offset < size:
        give_back(chunk)
        return Sends(message_count=len(spans) + 1)
    mark_done(chunk)
    bulk_action.planned_at = utc_now()
    bulk_action.phase = Phase.STAGE
    sends = begin_merge_if_staged(bulk_action)
    sends.message_count += len(spans)
    return sends


def _next_spans(bulk_action: BulkAction, source: Source, size: int, storage: Storage) -> Iterator[Span]:
    file_format = FileFormat(**bulk_action.format)
    header_count = 1 if file_format.has_header and bulk_action.planned_offset else 0
    planned = file_format.leading_row_count + header_count + bulk_action.row_count
    return find_spans(
        lambda start, end: storage.read(source.key, start, end),
        size,
        file_format.delimiter,
        chunk_bytes(size),
        max(bulk_action.planned_offset, source.start),
        planned,
    )


def chunk_bytes(file_bytes: int) -> int:
    """Some chunks even for a small file, so that workers share it and its progress shows."""
    return min(CHUNK_BYTES, max(MIN_CHUNK_BYTES, file_bytes // USUAL_CHUNKS))


def _add_stage_chunk(bulk_action: BulkAction, span: Span) -> None:
    """The file's first record is row 1, as a spreadsheet shows it; a header is no row of data."""
    header_count = 1 if _holds_header(bulk_action, span.first_record) else 0
    chunk = new_chunk(bulk_action, Phase.STAGE, bulk_action.chunk_count)
    chunk.start_offset, chunk.end_offset = span.start_offset, span.end_offset
    chunk.first_row_number = span.first_record + 1 + header_count
    chunk.row_count = span.record_count - header_count
    bulk_action.row_count += chunk.row_count
    bulk_action.chunk_count += 1
    db.session.add(chunk)


def _holds_header(bulk_action: BulkAction, first_record: int) -> bool:
    file_format = FileFormat(**bulk_action.format)
    return file_format.has_header and first_record == file_format.leading_row_count


def stage_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Read, check and stage a chunk's rows, and note those that stay out."""
    bulk_action = get_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise LookupError(f"Bulk action {chunk.bulk_action_id} is gone.")
    data = storage.read(source_of(bulk_action).key, chunk.start_offset, chunk.end_offset)
    has_header = chunk.index == 0 and FileFormat(**bulk_action.format).has_header
    layout = layout_of(bulk_action)
    with uncollected():
        parsed = parse(data, layout, chunk.first_row_number, chunk.row_count, skip_header=has_header)
        check_running(chunk.organisation_id, chunk.bulk_action_id)
        rows = (chunk.organisation_id, chunk.bulk_action_id, parsed.row_numbers, parsed.columns)
        stage_rows(StagedRows(layout.entity, *rows))
    note_rejected(chunk.organisation_id, chunk.bulk_action_id, parsed.rejected)
    return finish_stage(chunk, len(parsed.row_numbers), len(parsed.rejected), parsed.blank_count)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector of cyclic garbage, which would look at every row several times and find none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def layout_of(bulk_action: BulkAction) -> Layout:
    """How the import reads its chunks."""
    file_format, entity = FileFormat(**bulk_action.format), get_entity(bulk_action.entity)
    chosen = sorted((int(column), target) for column, target in bulk_action.mapping.items() if target)
    known = entity.fields_by_name
    return Layout(
        encoding=source_of(bulk_action).encoding,
        delimiter=file_format.delimiter,
        column_count=file_format.column_count,
        entity=entity,
        fields=tuple((column, known[target]) for column, target in chosen if target in known),
        attributes=tuple((c, target.removeprefix(ATTRIBUTE_PREFIX)) for c, target in chosen if target not in known),
        rules=rules_from(tuple(target for _, target in chosen), bulk_action.rules),
        context=context_of(bulk_action.organisation_id, bulk_action.parameters.get("region", "")),
    )


def merge_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Merge the staged rows of a range of keys into the records."""
    bulk_action = get_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise LookupError(f"Bulk action {chunk.bulk_action_id} is gone.")
    place = (chunk.organisation_id, chunk.bulk_action_id, chunk.start_offset, chunk.end_offset, chunk.index)
    layout = layout_of(bulk_action)
    merge = Merge(layout.entity, layout.rules, BucketRange(*place), bulk_action.is_dry_run)
    counts = merge_rows(merge, utc_now())
    if counts.crowded:
        cells = dict(rows_among(counts.crowded, chunk, storage))
        rejected = [Rejected(number, CROWDED, cells.get(number, [])) for number in counts.crowded]
        note_rejected(chunk.organisation_id, chunk.bulk_action_id, rejected)
    return finish_merge(chunk, counts)
