"""One record: created, changed, deleted, restored, with every fault named."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.conftest import Person, owner_connection
from tests.records.support import NAME_FIELDS, key_of, values_of
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import db
from webapp.records import service
from webapp.records.entities import Entity
from webapp.records.queries import find_by_key, get_record, has_records, list_attribute_names
from webapp.records.service import (
    InvalidRecordError,
    KeyTakenError,
    create_record,
    delete_record,
    restore_record,
    update_record,
)


def create(entity: Entity, organisation_id: UUID, name: str = "ada", **more: object) -> Any:
    return create_record(entity, organisation_id, values_of(entity, name, **more))


def test_white_space_is_trimmed_and_blanks_are_nothing(entity: Entity, here: UUID) -> None:
    key, name = entity.key.name, NAME_FIELDS[entity.name]
    record = create_record(entity, here, {key: f" {key_of(entity, 'Ada')} ", name: "  "})
    assert (getattr(record, key), getattr(record, name)) == (key_of(entity, "Ada"), None)
    assert getattr(record, entity.key_column) == key_of(entity, "ada").lower()


def test_every_fault_is_named_at_once(entity: Entity, here: UUID) -> None:
    name = NAME_FIELDS[entity.name]
    with pytest.raises(InvalidRecordError) as caught:
        create_record(entity, here, {entity.key.name: "", name: "x" * 301, "tags": "t" * 101})
    label, limit = entity.label_of_column(name), entity.fields_by_name[name].max_length
    assert caught.value.errors == {
        entity.key.name: f"{entity.key.label} is missing.",
        name: f"{label} has 301 characters; at most {limit} fit.",
        "tags": f"The tag “{'t' * 57}…” has more than 100 characters.",
    }


def test_a_record_needs_a_key(entity: Entity, here: UUID) -> None:
    with pytest.raises(InvalidRecordError, match=f"{entity.key.label} is missing"):
        create_record(entity, here, {NAME_FIELDS[entity.name]: "Ada"})


def test_an_unknown_field_is_refused(entity: Entity, here: UUID) -> None:
    with pytest.raises(InvalidRecordError, match="no field called “shoe_size”"):
        create(entity, here, shoe_size="38")


def test_a_key_is_taken_in_any_case(entity: Entity, here: UUID) -> None:
    create(entity, here)
    with pytest.raises(KeyTakenError, match=f"Ada already has the {entity.key.label}"):
        create_record(entity, here, {entity.key.name: key_of(entity, "ada").swapcase()})


def test_a_key_that_is_taken_meanwhile_is_refused_too(
    entity: Entity, here: UUID, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_of(entity, "ada")
    with owner_connection(services) as connection:
        connection.execute(
            f"INSERT INTO {entity.name} (organisation_id, id, {entity.key.name}, {entity.key_column}, created_at,"
            " updated_at) VALUES (%s, gen_random_uuid(), %s, lower(%s), now(), now())",
            [here, key, key],
        )
    looks = iter([None])
    monkeypatch.setattr(service, "find_by_key", lambda *given: next(looks, find_by_key(*given)))
    with pytest.raises(KeyTakenError):
        create(entity, here)
    assert has_records(entity, here)


def test_only_the_given_fields_change(entity: Entity, here: UUID) -> None:
    record = create(entity, here, tags="new")
    update_record(entity, record, {"tags": "old, blue"})
    assert (record.tags, getattr(record, NAME_FIELDS[entity.name])) == (["blue", "old"], "Ada")
    assert record.updated_at > record.created_at


def test_saving_without_a_change_changes_no_time(entity: Entity, here: UUID) -> None:
    record = create_record(entity, here, values_of(entity, tags="a, b"), {"Shoe size": "38"})
    before = record.updated_at
    update_record(entity, record, values_of(entity, tags="b;a"), {"Shoe size": "38"})
    assert record.updated_at == before


def test_every_change_changes_the_time_also_beside_own_attributes(entity: Entity, here: UUID) -> None:
    record = create(entity, here)
    for values, attributes in (
        ({NAME_FIELDS[entity.name]: "Eve"}, {"Hat": "M"}),
        ({}, {"Hat": "L"}),
        ({"tags": "x"}, {}),
    ):
        db.session.commit()
        before = record.updated_at
        update_record(entity, record, values, attributes)
        assert record.updated_at > before


def test_a_new_key_is_found_and_the_old_one_is_free(entity: Entity, here: UUID) -> None:
    record = create(entity, here)
    update_record(entity, record, {entity.key.name: key_of(entity, "Countess")})
    assert find_by_key(entity, here, key_of(entity, "countess").swapcase()) == record
    assert find_by_key(entity, here, key_of(entity, "ada")) is None


def test_own_attributes_are_merged_and_a_blank_one_goes(entity: Entity, here: UUID) -> None:
    record = create_record(entity, here, values_of(entity), {"Shoe size": "38", "Height": "170"})
    update_record(entity, record, {}, {"Height": None, "Colour": " blue "})
    assert record.attributes == {"Shoe size": "38", "Colour": "blue"}
    assert list_attribute_names(here, entity) == ["Colour", "Height", "Shoe size"]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"x" * 101: "1"}, "needs a name of 1 to 100 characters"),
        ({"Note": "x" * 20_001}, "Note has 20,001 characters"),
        ({f"n{number}": "1" for number in range(201)}, "There are 201 fields of your own"),
    ],
    ids=["a name too long", "a value too long", "too many"],
)
def test_own_attributes_have_bounds(entity: Entity, here: UUID, attributes: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRecordError, match=words) as caught:
        create_record(entity, here, values_of(entity), attributes)
    assert list(caught.value.errors) == ["attributes"]


def test_own_attributes_have_bounds_together_with_those_that_are_there(entity: Entity, here: UUID) -> None:
    record = create_record(entity, here, values_of(entity), {f"n{number}": "1" for number in range(200)})
    with pytest.raises(InvalidRecordError, match="There are 201 fields of your own"):
        update_record(entity, record, {}, {"one more": "1"})


def test_a_deleted_record_is_in_no_list_and_comes_back_as_it_was(entity: Entity, here: UUID) -> None:
    record = create_record(entity, here, values_of(entity, tags="a"), {"Shoe size": "38"})
    columns = entity.data_columns
    db.session.commit()
    before = {name: getattr(record, name) for name in columns}
    delete_record(entity, record, None)
    db.session.commit()
    assert not has_records(entity, here)
    restored = restore_record(entity, here, before["id"])
    assert {name: getattr(restored, name) for name in columns} == before


def test_restoring_twice_is_restoring_once(entity: Entity, here: UUID) -> None:
    record = create(entity, here)
    record_id = record.id
    delete_record(entity, record, None)
    assert restore_record(entity, here, record_id) is restore_record(entity, here, record_id)


def test_a_record_whose_key_was_taken_meanwhile_stays_in_the_trash(entity: Entity, here: UUID) -> None:
    record = create(entity, here)
    record_id = record.id
    delete_record(entity, record, None)
    other = create(entity, here)
    with pytest.raises(KeyTakenError) as caught:
        restore_record(entity, here, record_id)
    assert caught.value.other is other
    assert get_record(entity, here, record_id) is None


def test_a_member_owns_a_contact_by_address_or_by_id(here: UUID, bob: Person, charlie: Person) -> None:
    contact = create_record(CONTACTS, here, {"email": "ada@example.com", "owner_id": "BOB@example.com"})
    assert contact.owner_id == bob.user_id
    update_record(CONTACTS, contact, {"owner_id": None})
    assert contact.owner_id is None
    update_record(CONTACTS, contact, {"owner_id": str(bob.user_id)})
    assert contact.owner_id == bob.user_id
    for stranger in (charlie.email, str(charlie.user_id)):
        with pytest.raises(InvalidRecordError, match="is not the e-mail address of a member"):
            update_record(CONTACTS, contact, {"owner_id": stranger})
