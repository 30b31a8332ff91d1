"""The work of a job that finds a picture, and the actor that removes files without a picture."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from flask import current_app

from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import actor
from webapp.jobs.kinds import PermanentError, PostponedError, Result, Run
from webapp.jobs.limits import reserve
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage, storage_at
from webapp.pictures import unsplash
from webapp.pictures.files import organisation_of
from webapp.pictures.images import read_image
from webapp.pictures.kinds import why_unavailable
from webapp.pictures.models import Picture
from webapp.pictures.queries import find_picture_of_job, find_wanted_keys
from webapp.pictures.service import Find, keep_picture, store_files

LIMIT_NAME = "unsplash"
LIMIT_WINDOW = timedelta(hours=1)
STEP_COUNT = 3
UNOWNED_AFTER = timedelta(days=1)
REMOVE_LIMIT = 1_000
"""A sweep of the store ends when it removed so many files; the next one goes on."""


def find_picture(run: Run) -> Result:
    """Keep one picture for the job's search word. A job that ran twice keeps the first and asks for no other.

    No transaction is open while Unsplash or the store answers.
    """
    settings: Settings = current_app.extensions["settings"]
    kept = find_picture_of_job(run.organisation_id, run.job_id)
    if kept is not None:
        run.log("An earlier attempt has kept a picture already.")
        return _result(kept)
    _wait_for_turn(run, settings)
    find = _find(run, settings)
    store_files(_storage(), find)
    picture = keep_picture(find)
    db.session.commit()
    return _result(picture)


@actor("default")
def sweep_pictures() -> None:
    """Remove files that belong to no picture: attempts leave them that were killed, or that came second."""
    storage, removed_count = _storage(), 0
    for keys in storage.key_pages(utc_now() - UNOWNED_AFTER):
        for organisation_id, owned in _by_organisation(keys).items():
            removed_count += _remove_unwanted(organisation_id, owned, storage)
        if removed_count >= REMOVE_LIMIT:
            return


def _wait_for_turn(run: Run, settings: Settings) -> None:
    """Go on with one of the hour's requests, or raise PostponedError with the moment of the job's turn."""
    if reason := why_unavailable(settings):
        raise PermanentError(reason)
    most, now = settings.unsplash_requests_per_hour, utc_now()
    turn = reserve(run.organisation_id, LIMIT_NAME, run.job_id, most=most, window=LIMIT_WINDOW, now=now)
    db.session.commit()
    if turn > now:
        raise PostponedError(turn, f"The hourly limit of {most:,} {'picture' if most == 1 else 'pictures'} is reached.")


def _find(run: Run, settings: Settings) -> Find:
    """A photo, fetched and looked through, of whose use Unsplash knows."""
    word = run.parameters["query"]
    photo = unsplash.find_photo(settings, word)
    run.log(f"Found photo {photo.id} by {photo.author_name}.")
    run.report(1, STEP_COUNT)
    content = unsplash.download(settings, photo)
    image = read_image(content)
    run.log(f"Fetched {len(content):,} bytes, {image.width:,} × {image.height:,} pixels.")
    run.report(2, STEP_COUNT)
    unsplash.report_download(settings, photo)
    run.report(3, STEP_COUNT)
    return Find(run.organisation_id, run.job_id, run.number, word, photo, content, image)


def _result(picture: Picture) -> Result:
    return {
        "picture_id": str(picture.id),
        "credit": picture.credit,
        "size": f"{picture.width:,} × {picture.height:,} pixels",
        "links": [{"label": "Picture", "path": f"/pictures/{picture.id}"}],
    }


def _by_organisation(keys: Iterable[str]) -> dict[UUID, list[str]]:
    found: dict[UUID, list[str]] = {}
    for key in keys:
        if organisation_id := organisation_of(key):
            found.setdefault(organisation_id, []).append(key)
    return found


def _remove_unwanted(organisation_id: UUID, keys: list[str], storage: Storage) -> int:
    with tenant(organisation_id):
        wanted = find_wanted_keys(organisation_id, keys)
        db.session.rollback()
    unwanted = [key for key in keys if key not in wanted]
    for key in unwanted:
        storage.delete(key)
    return len(unwanted)


def _storage() -> Storage:
    return storage_at(current_app.extensions["settings"].uploads_url)
