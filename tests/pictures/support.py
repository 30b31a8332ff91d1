"""Jobs that find pictures, and what they leave behind."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from tests.jobs.support import add_job, reread, run_waiting
from webapp.config import Settings
from webapp.extensions import db
from webapp.jobs.models import Job
from webapp.lib.clock import utc_now
from webapp.pictures.models import Picture


def add_search(organisation_id: UUID, word: str = "shoe", **more: object) -> Job:
    """A job that waits to find a picture."""
    return add_job(organisation_id, "find_picture", given={"query": word}, **more)


def search(organisation_id: UUID, word: str = "shoe", **more: object) -> Job:
    """The job after its first attempt."""
    job = add_search(organisation_id, word, **more)
    run_waiting()
    return reread(job)


def try_again(job: Job) -> Job:
    """The job after another attempt, as if its pause were over."""
    reread(job).run_at = utc_now()
    db.session.commit()
    run_waiting()
    return reread(job)


def pictures() -> list[Picture]:
    """Those of the present tenant, the oldest first."""
    db.session.rollback()
    return list(db.session.scalars(select(Picture).order_by(Picture.id)))


def picture_of(job: Job) -> Picture:
    """The one picture that the job found."""
    (picture,) = [picture for picture in pictures() if picture.job_id == job.id]
    return picture


def stored_files() -> dict[str, Path]:
    """What lies in the store, by its key."""
    settings: Settings = current_app.extensions["settings"]
    folder = settings.data_dir / "uploads"
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
