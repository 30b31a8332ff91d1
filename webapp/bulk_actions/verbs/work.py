"""The work of each verb on a chunk of records, in one transaction."""

from __future__ import annotations

from webapp.bulk_actions.chunks import Sends, note_given_up
from webapp.bulk_actions.giving_up import given_up_words
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, Phase, Verb
from webapp.bulk_actions.phases import Work, register_phase
from webapp.bulk_actions.queries import get_bulk_action
from webapp.bulk_actions.verbs.changes import apply_change, note_unchanged, note_unfit
from webapp.bulk_actions.verbs.export import export_of, write_part, write_workbook
from webapp.bulk_actions.verbs.outcomes import end_finish, finish_at_once, finish_work, keep_deleted
from webapp.bulk_actions.verbs.parameters import change_of, note_new_names
from webapp.bulk_actions.verbs.places import (
    AMONG_REST,
    REST,
    exists_in,
    list_rest,
    note_ids,
    note_rest,
    note_succeeded,
    place_of,
)
from webapp.bulk_actions.verbs.plan import plan_selection, refuse_more
from webapp.bulk_actions.verbs.restore import restore_deleted
from webapp.bulk_actions.verbs.undo import undo_records
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage
from webapp.products.service import look_for_pictures
from webapp.records.trash import Deletion, delete_all, moving, moving_still, said

UNDELETED = {Verb.DELETE, Verb.DELETE_ALL}
GONE = "It was deleted before its turn came."


def change_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Update fields, add or remove tags."""
    bulk_action, place = place_of(chunk)
    change = change_of(bulk_action.verb, place.entity, bulk_action.parameters)
    count = apply_change(place, change, utc_now())
    if count and bulk_action.verb is Verb.UPDATE:
        note_new_names(place.entity, place.organisation_id, bulk_action.parameters["values"])
    if count < place.row_count:
        count += note_unchanged(place, change)
    if count < place.row_count:
        count += note_unfit(place, change)
    if count < place.row_count:
        note_rest(place, "failed", reason=GONE)
    return finish_work(chunk)


def delete_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Move records into the trash."""
    bulk_action, place = place_of(chunk)
    values = {**place.values, **said(Deletion(utc_now(), bulk_action.created_by, bulk_action.id))}
    count = note_succeeded(moving_still(place.entity, place.among("r.id")), "moved", values)
    if count < place.row_count:
        count += note_succeeded(f"{REST}, {moving(place.entity, AMONG_REST)}", "moved", values)
    if count < place.row_count:
        note_rest(place, "failed", reason=GONE)
    return finish_work(chunk)


def delete_everything(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Move every record into the trash by one statement, so that either all of them are deleted or none.

    Those that came after the number was confirmed stay.
    """
    bulk_action, place = place_of(chunk)
    deletion = Deletion(utc_now(), bulk_action.created_by, bulk_action.id)
    moment = bulk_action.selected_at or bulk_action.created_at
    count = delete_all(place.entity, place.organisation_id, moment, deletion)
    refuse_more(bulk_action, count)
    keep_deleted(place)
    return finish_at_once(chunk, count)


def restore_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Move records out of the trash."""
    _, place = place_of(chunk)
    restore_deleted(place)
    return finish_work(chunk)


def undo_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Take back what another bulk action did to these records, unless they were changed since."""
    bulk_action, place = place_of(chunk)
    source = _source_of(bulk_action)
    if source.verb in UNDELETED:
        restore_deleted(place, source.id)
    else:
        undo_records(place, source, bulk_action.created_by, utc_now())
    return finish_work(chunk)


def _source_of(bulk_action: BulkAction) -> BulkAction:
    source = get_bulk_action(bulk_action.organisation_id, bulk_action.source_id) if bulk_action.source_id else None
    if source is None:
        raise LookupError(f"Bulk action {bulk_action.id} undoes nothing.")
    return source


def find_pictures_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Make a job for each product without a picture; they are rows of this transaction, and so made once."""
    bulk_action, place = place_of(chunk)
    begun, _ = look_for_pictures(place.organisation_id, list_rest(place), bulk_action.created_by)
    note_ids(place, "succeeded", list(begun))
    note_rest(place, "skipped", exists_in(place.entity.name))
    note_rest(place, "failed", reason=GONE)
    return finish_work(chunk)


def export_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Write records into a part of the file."""
    bulk_action, place = place_of(chunk)
    export = export_of(bulk_action)
    write_part(export, place, storage)
    note_rest(place, "failed", reason=GONE)
    return finish_work(chunk, has_finish=export.file_format == "xlsx")


def finish_export(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Make the workbook of the parts."""
    bulk_action, _ = place_of(chunk)
    write_workbook(export_of(bulk_action), bulk_action.partition_count, storage)
    return end_finish(chunk)


def give_up_records(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Leave the chunk's records as they are, with the reason, so that the others can be done."""
    note_given_up(chunk)
    _, place = place_of(chunk)
    note_rest(place, "failed", reason=given_up_words(chunk))
    return finish_work(chunk)


def register_verbs() -> None:
    """Tell the workers what each verb does."""
    changes: dict[Verb, Work] = dict.fromkeys((Verb.UPDATE, Verb.ADD_TAGS, Verb.REMOVE_TAGS), change_chunk)
    others: dict[Verb, Work] = {
        Verb.DELETE: delete_chunk,
        Verb.RESTORE: restore_chunk,
        Verb.UNDO: undo_chunk,
        Verb.EXPORT: export_chunk,
        Verb.FIND_PICTURES: find_pictures_chunk,
    }
    for verb, work in (changes | others).items():
        register_phase(verb, Phase.PLAN, plan_selection)
        # A file without some of its records would look whole, so an export is not given up by parts.
        register_phase(verb, Phase.WORK, work, give_up=None if verb is Verb.EXPORT else give_up_records)
    register_phase(Verb.EXPORT, Phase.FINISH, finish_export)
    register_phase(Verb.DELETE_ALL, Phase.PLAN, delete_everything)
