"""Jobs that find a picture, against a local Unsplash and the real machinery."""

from __future__ import annotations

from uuid import UUID

import pytest
from apiflask import APIFlask
from sqlalchemy import select

from tests.conftest import Person, owner_connection
from tests.pictures.support import add_search, picture_of, pictures, search, stored_files, try_again
from tests.pictures.unsplash_server import DOWNLOAD, IMAGE, PHOTO_ID, RANDOM, Answer, Unsplash, jpeg
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.kinds import Result, Run
from webapp.jobs.models import MAX_ATTEMPTS, JobLog, JobState
from webapp.jobs.queries import get_job_for_update
from webapp.pictures import tasks

OPEN_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
"""


def test_a_search_word_becomes_a_kept_picture(organisation: UUID, unsplash: Unsplash, alice: Person) -> None:
    job = search(organisation, "red shoe", created_by=alice.user_id)
    picture = picture_of(job)
    assert (job.state, job.title) == (JobState.COMPLETED, "Picture for “red shoe”")
    assert unsplash.paths() == [RANDOM, IMAGE, DOWNLOAD]
    assert (picture.search_word, picture.source, picture.source_id) == ("red shoe", "unsplash", PHOTO_ID)
    assert (picture.content_type, picture.byte_count) == ("image/jpeg", len(unsplash.image))
    assert (picture.width, picture.height) == (1080, 720)
    assert (picture.thumbnail_width, picture.thumbnail_height) == (320, 213)
    assert picture.created_by == alice.user_id


def test_its_result_leads_to_the_picture_and_credits_its_author(organisation: UUID) -> None:
    job = search(organisation)
    picture_id = str(picture_of(job).id)
    assert job.result == {
        "picture_id": picture_id,
        "credit": "Photo by Annie Spratt on Unsplash",
        "size": "1,080 × 720 pixels",
        "links": [{"label": "Picture", "path": f"/pictures/{picture_id}"}],
    }


def test_it_says_what_it_does_meanwhile(organisation: UUID) -> None:
    job = search(organisation)
    lines = list(db.session.scalars(select(JobLog.message).order_by(JobLog.position)))
    assert lines[0] == f"Found photo {PHOTO_ID} by Annie Spratt."
    assert lines[-1].endswith("1,080 × 720 pixels.")
    assert (job.progress_count, job.total_count) == (3, 3)


def test_both_files_lie_in_the_store_as_the_row_says(organisation: UUID, unsplash: Unsplash) -> None:
    picture = picture_of(search(organisation))
    files = stored_files()
    assert set(files) == {picture.file_key, picture.thumbnail_key}
    assert files[picture.file_key].read_bytes() == unsplash.image
    assert picture.file_key.startswith(f"{organisation}/pictures/")


def test_no_transaction_is_open_while_unsplash_answers(
    organisation: UUID, unsplash: Unsplash, services: Settings
) -> None:
    seen: dict[str, object] = {}

    def look(path: str) -> None:
        with owner_connection(services) as connection:
            seen[path] = connection.execute(OPEN_TRANSACTIONS).fetchone()

    unsplash.look = look
    assert search(organisation).state is JobState.COMPLETED
    assert seen == {RANDOM: (0,), IMAGE: (0,), DOWNLOAD: (0,)}


# Once ---------------------------------------------------------------------------------------------


def attempt(organisation_id: UUID, job_id: UUID, number: int) -> Result:
    """An attempt of which the machinery knows nothing: one that was given up, or came too early."""
    run = Run(organisation_id, job_id, number, {"query": "shoe"}, None, lambda *_: None, lambda _: None)
    return tasks.find_picture(run)


def test_a_job_that_runs_twice_keeps_one_picture_and_asks_once(organisation: UUID, unsplash: Unsplash) -> None:
    job = search(organisation)
    assert attempt(organisation, job.id, 2) == job.result
    assert len(pictures()) == 1
    assert unsplash.paths() == [RANDOM, IMAGE, DOWNLOAD]


def test_of_two_attempts_side_by_side_the_first_ones_picture_stays_whole(
    app: APIFlask, organisation: UUID, unsplash: Unsplash
) -> None:
    """The slower one, given up meanwhile, found another photo: it must not lie behind the first one's credit."""
    job = add_search(organisation)
    unsplash.image = jpeg(900, 600)
    unsplash.next_answers[IMAGE] = [Answer(200, {}, jpeg(300, 500))]

    def overtake(path: str) -> None:
        if path == DOWNLOAD and unsplash.paths().count(DOWNLOAD) == 1:
            with app.app_context(), tenant(organisation):
                attempt(organisation, job.id, 2)

    unsplash.look = overtake
    late = attempt(organisation, job.id, 1)
    picture = picture_of(job)
    assert late["picture_id"] == str(picture.id)
    assert (picture.width, picture.height) == (900, 600)
    assert stored_files()[picture.file_key].read_bytes() == unsplash.image


def test_a_crash_after_the_files_are_stored_leaves_one_picture_in_the_end(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(find: object) -> None:
        raise RuntimeError("The last word of a worker.")

    with monkeypatch.context() as patched:
        patched.setattr(tasks, "keep_picture", crash)
        job = search(organisation)
    assert (job.state, pictures()) == (JobState.RETRYING, [])
    assert len(stored_files()) == 2
    job = try_again(job)
    assert job.state is JobState.COMPLETED
    assert picture_of(job).file_key in stored_files()


def test_a_crash_after_the_commit_asks_for_no_other_picture(
    organisation: UUID, unsplash: Unsplash, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(picture: object) -> None:
        raise RuntimeError("The last word of a worker.")

    with monkeypatch.context() as patched:
        patched.setattr(tasks, "_result", crash)
        job = search(organisation)
    assert job.state is JobState.RETRYING
    job = try_again(job)
    assert job.state is JobState.COMPLETED
    assert (len(pictures()), unsplash.paths().count(RANDOM)) == (1, 1)


def test_the_same_word_asked_twice_is_two_pictures(organisation: UUID) -> None:
    assert picture_of(search(organisation)).id != picture_of(search(organisation)).id


def test_a_cancelled_job_keeps_nothing(organisation: UUID, unsplash: Unsplash, app: APIFlask) -> None:
    job = add_search(organisation)

    def cancel(path: str) -> None:
        with app.app_context(), tenant(organisation):
            running = get_job_for_update(organisation, job.id)
            assert running is not None
            running.cancel()
            db.session.commit()

    unsplash.look = cancel
    ended = try_again(job)
    assert (ended.state, pictures(), stored_files()) == (JobState.CANCELLED, [], {})


# Bad days -----------------------------------------------------------------------------------------

PASSING: dict[str, tuple[str, Answer, str]] = {
    "a server that fails": (RANDOM, Answer(500), "Unsplash answered 500"),
    "broken json": (RANDOM, Answer(200, {}, b"{"), "could not be read"),
    "a file that is not there": (IMAGE, Answer(404), "answered 404 when its picture was fetched"),
    "a page for a picture": (IMAGE, Answer(200, {"Content-Type": "image/jpeg"}, b"<html>"), "not a picture"),
    "a drawing for a picture": (IMAGE, Answer(200, {"Content-Type": "image/svg+xml"}, b"<svg/>"), "not a picture"),
    "half a picture": (IMAGE, Answer(200, {}, jpeg()[:5_000]), "not a picture, or it is broken"),
    "a picture that broke off": (IMAGE, Answer(200, {}, jpeg()[:5_000], missing=9), "broke off in the middle"),
    "a use that is not noted": (DOWNLOAD, Answer(502), "Unsplash answered 502"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again_and_then_found(name: str, organisation: UUID, unsplash: Unsplash) -> None:
    path, answer, words = PASSING[name]
    unsplash.next_answers[path] = [answer]
    job = search(organisation)
    assert (job.state, pictures(), stored_files()) == (JobState.RETRYING, [], {})
    assert words in (job.error or "")
    assert try_again(job).state is JobState.COMPLETED
    assert len(pictures()) == 1


def test_what_never_passes_ends_as_a_dead_letter_with_its_reason(organisation: UUID, unsplash: Unsplash) -> None:
    unsplash.next_answers[RANDOM] = [Answer(503)] * MAX_ATTEMPTS
    job = search(organisation)
    for _ in range(MAX_ATTEMPTS - 1):
        job = try_again(job)
    assert (job.state, unsplash.paths()) == (JobState.DEAD, [RANDOM] * MAX_ATTEMPTS)
    assert "Unsplash answered 503" in (job.error or "")


def test_a_word_without_a_picture_fails_at_once_and_says_what_to_do(organisation: UUID, unsplash: Unsplash) -> None:
    unsplash.next_answers[RANDOM] = [Answer(404, {}, b'{"errors": ["No photos found."]}')]
    job = search(organisation, "qwxz")
    assert (job.state, job.error) == (JobState.FAILED, "Unsplash has no picture for “qwxz”. Try another word.")


def test_organisations_keep_their_pictures_to_themselves(organisation: UUID, charlie: Person) -> None:
    with tenant(charlie.organisation_id):
        search(charlie.organisation_id)
        assert len(pictures()) == 1
    assert pictures() == []
