"""Files that belong to no picture are removed, and no other."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.pictures.support import picture_of, search, stored_files
from webapp.bulk_actions.files import file_key
from webapp.extensions import db, tenant
from webapp.lib.ids import uuid7
from webapp.lib.storage import Storage, storage_at
from webapp.pictures import tasks
from webapp.pictures.files import picture_key, thumbnail_key
from webapp.pictures.models import Picture


@pytest.fixture
def storage(app: APIFlask) -> Storage:
    return storage_at(app.extensions["settings"].uploads_url)


def sweep_after(age: timedelta) -> set[str]:
    """As if everything had been stored so long ago; the keys that are left."""
    then = time.time() - age.total_seconds()
    for path in stored_files().values():
        os.utime(path, (then, then))
    tasks.sweep_pictures()
    return set(stored_files())


def keys_of(picture: Picture) -> set[str]:
    return {picture.file_key, picture.thumbnail_key}


def test_a_kept_picture_stays_however_old_it_is(organisation: UUID, charlie: Person) -> None:
    kept = keys_of(picture_of(search(organisation)))
    with tenant(charlie.organisation_id):
        kept |= keys_of(picture_of(search(charlie.organisation_id)))
    assert len(kept) == 4
    assert sweep_after(timedelta(days=400)) == kept


def test_what_a_killed_attempt_left_is_removed_after_a_day(organisation: UUID, storage: Storage) -> None:
    job = search(organisation)
    left = {
        picture_key(organisation, job.id, 2, "image/png"),
        thumbnail_key(organisation, job.id, 2, "image/webp"),
        picture_key(uuid7(), uuid7(), 1, "image/jpeg"),
    }
    for key in left:
        storage.write(key, [b"left behind"])
    kept = keys_of(picture_of(job))
    assert sweep_after(timedelta(hours=23)) == kept | left
    assert sweep_after(timedelta(hours=25)) == kept


def test_the_files_of_a_deleted_picture_follow_it(organisation: UUID) -> None:
    db.session.delete(picture_of(search(organisation)))
    db.session.commit()
    assert sweep_after(timedelta(hours=25)) == set()


def test_files_of_other_features_are_none_of_its_business(organisation: UUID, storage: Storage) -> None:
    others = {file_key(organisation, uuid7()), f"{organisation}/pictures/readme.txt"}
    for key in others:
        storage.write(key, [b"a,b"])
    assert sweep_after(timedelta(days=400)) == others
