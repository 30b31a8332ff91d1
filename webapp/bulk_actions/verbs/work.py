"""The work of each verb on a chunk of records, in one transaction."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, text

from webapp.bulk_actions.chunks import Sends, note_given_up
from webapp.bulk_actions.giving_up import given_up_words
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, Phase, Verb
from webapp.bulk_actions.phases import Work, register_phase
from webapp.bulk_actions.queries import get_bulk_action
from webapp.bulk_actions.verbs.changes import Place, apply_change, lock_present
from webapp.bulk_actions.verbs.export import export_of, write_part, write_workbook
from webapp.bulk_actions.verbs.outcomes import (
    Outcomes,
    end_finish,
    finish_at_once,
    finish_work,
    keep_deleted,
    sorted_out,
)
from webapp.bulk_actions.verbs.parameters import change_of
from webapp.bulk_actions.verbs.plan import plan_selection
from webapp.bulk_actions.verbs.restore import restore_deleted
from webapp.bulk_actions.verbs.undo import undo_records
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage
from webapp.products.service import look_for_pictures
from webapp.records.entities import get_entity
from webapp.records.trash import Deletion, delete_all, delete_records

UNDELETED = {Verb.DELETE, Verb.DELETE_ALL}


def change_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Update fields, add or remove tags."""
    bulk_action, place = _place_of(chunk)
    present = lock_present(place)
    change = change_of(bulk_action.verb, place.entity, bulk_action.parameters)
    changed = apply_change(place, change, utc_now())
    return finish_work(chunk, sorted_out(place.ids, changed, present))


def delete_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Move records into the trash."""
    bulk_action, place = _place_of(chunk)
    deletion = Deletion(utc_now(), bulk_action.created_by, bulk_action.id)
    gone = delete_records(place.entity, place.organisation_id, place.ids, deletion)
    return finish_work(chunk, sorted_out(place.ids, gone, ()))


def delete_everything(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Move every record into the trash by one statement, so that either all of them are deleted or none."""
    bulk_action, place = _place_of(chunk)
    deletion = Deletion(utc_now(), bulk_action.created_by, bulk_action.id)
    count = delete_all(place.entity, place.organisation_id, deletion)
    keep_deleted(place)
    return finish_at_once(chunk, count)


def restore_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Move records out of the trash."""
    _, place = _place_of(chunk)
    return finish_work(chunk, restore_deleted(place))


def undo_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Take back what another bulk action did to these records, unless they were changed since."""
    bulk_action, place = _place_of(chunk)
    if bulk_action.source_id is None:
        raise LookupError(f"Bulk action {bulk_action.id} undoes nothing.")
    if _verb_of(bulk_action.organisation_id, bulk_action.source_id) in UNDELETED:
        return finish_work(chunk, restore_deleted(place, bulk_action.source_id))
    return finish_work(chunk, undo_records(place, bulk_action.source_id, bulk_action.created_by, utc_now()))


def give_up_records(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Leave the chunk's records as they are, with the reason, so that the others can be done."""
    note_given_up(chunk)
    return finish_work(chunk, Outcomes(failed=dict.fromkeys(chunk.record_ids or [], given_up_words(chunk))))


def _verb_of(organisation_id: UUID, bulk_action_id: UUID) -> Verb:
    query = select(BulkAction.verb).where(
        BulkAction.organisation_id == organisation_id, BulkAction.id == bulk_action_id
    )
    return db.session.execute(query).scalar_one()


def _place_of(chunk: BulkActionChunk) -> tuple[BulkAction, Place]:
    bulk_action = get_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise LookupError(f"Bulk action {chunk.bulk_action_id} is gone.")
    db.session.execute(text("SELECT set_config('enable_seqscan', 'off', true)"))
    entity = get_entity(bulk_action.entity)
    return bulk_action, Place(entity, chunk.organisation_id, bulk_action.id, chunk.record_ids or [])


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


def find_pictures_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Make a job for each product without a picture; they are rows of this transaction, and so made once."""
    bulk_action, place = _place_of(chunk)
    begun, present = look_for_pictures(place.organisation_id, place.ids, bulk_action.created_by)
    return finish_work(chunk, sorted_out(place.ids, list(begun), list(present)))


def export_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Write records into a part of the file."""
    bulk_action, place = _place_of(chunk)
    export = export_of(bulk_action)
    exported = write_part(export, place, chunk.index, storage)
    return finish_work(chunk, sorted_out(place.ids, exported, ()), has_finish=export.file_format == "xlsx")


def finish_export(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Make the workbook of the parts."""
    bulk_action, _ = _place_of(chunk)
    write_workbook(export_of(bulk_action), bulk_action.partition_count, storage)
    return end_finish(chunk)
