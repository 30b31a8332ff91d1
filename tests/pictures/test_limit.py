"""So many pictures an hour for each organisation; the next job waits and says until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from tests.conftest import Person
from tests.jobs.support import reread, run_waiting
from tests.pictures.conftest import Configure
from tests.pictures.support import add_search, pictures, search, try_again
from tests.pictures.unsplash_server import RANDOM, RATE_LIMIT_EXCEEDED, Answer, Unsplash
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.kinds import MayStart, get_kind
from webapp.jobs.limits import reserve
from webapp.jobs.models import Job, JobState
from webapp.jobs.parameters import ParametersError, read_parameters
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.pictures import tasks
from webapp.pictures.kinds import FIND_PICTURE
from webapp.pictures.tasks import LIMIT_NAME, LIMIT_WINDOW


def use_up(organisation_id: UUID, count: int) -> None:
    """As if so many pictures had been asked for just now."""
    for _ in range(count):
        reserve(organisation_id, LIMIT_NAME, uuid7(), most=50, window=LIMIT_WINDOW, now=utc_now())
        db.session.commit()


def test_the_fiftieth_goes_and_the_fifty_first_waits_and_says_until_when(
    organisation: UUID, unsplash: Unsplash
) -> None:
    began = utc_now()
    use_up(organisation, 49)
    assert search(organisation).state is JobState.COMPLETED
    waiting = search(organisation)
    assert (waiting.state, waiting.wait_reason) == (JobState.PENDING, "The hourly limit of 50 pictures is reached.")
    assert began + LIMIT_WINDOW < waiting.run_at < utc_now() + LIMIT_WINDOW
    assert waiting.attempt_limit - waiting.attempt_count == get_kind("find_picture").attempt_limit
    assert unsplash.paths().count(RANDOM) == 1


def test_those_that_wait_come_one_after_the_other(organisation: UUID, configure: Configure) -> None:
    configure(unsplash_requests_per_hour=2)
    first, second, *others = [search(organisation) for _ in range(6)]
    assert (first.state, second.state) == (JobState.COMPLETED, JobState.COMPLETED)
    moments = [job.run_at for job in others]
    assert moments == sorted(set(moments))
    assert moments[2] - moments[0] == moments[3] - moments[1] == LIMIT_WINDOW


def test_a_job_whose_turn_has_come_finds_its_picture(
    organisation: UUID, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(unsplash_requests_per_hour=1)
    search(organisation)
    job = search(organisation)
    assert job.state is JobState.PENDING
    its_turn = job.run_at
    monkeypatch.setattr(tasks, "utc_now", lambda: its_turn)
    assert try_again(job).state is JobState.COMPLETED


def test_a_job_that_is_tried_again_asks_for_another_request(
    organisation: UUID, unsplash: Unsplash, configure: Configure
) -> None:
    configure(unsplash_requests_per_hour=1)
    unsplash.next_answers[RANDOM] = [Answer(500)]
    job = search(organisation)
    assert job.state is JobState.RETRYING
    job = try_again(job)
    assert (job.state, job.wait_reason) == (JobState.PENDING, "The hourly limit of 1 picture is reached.")
    assert unsplash.paths() == [RANDOM]


def test_one_organisations_pictures_leave_anothers_hour_alone(
    organisation: UUID, charlie: Person, configure: Configure
) -> None:
    configure(unsplash_requests_per_hour=1)
    search(organisation)
    with tenant(charlie.organisation_id):
        assert search(charlie.organisation_id).state is JobState.COMPLETED


def test_a_picture_that_was_kept_already_costs_no_request(organisation: UUID, configure: Configure) -> None:
    configure(unsplash_requests_per_hour=1)
    job = search(organisation)
    begin_again(job)
    run_waiting()
    assert reread(job).state is JobState.COMPLETED


def begin_again(job: Job) -> None:
    fresh = reread(job)
    fresh.state, fresh.ended_at, fresh.sent_at = JobState.PENDING, None, None
    db.session.commit()


def test_unsplashs_own_limit_puts_the_job_off_to_the_next_hour(organisation: UUID, unsplash: Unsplash) -> None:
    unsplash.next_answers[RANDOM] = [Answer(403, {"X-Ratelimit-Remaining": "0"}, RATE_LIMIT_EXCEEDED)]
    job = search(organisation)
    assert (job.state, job.wait_reason) == (JobState.PENDING, "The hourly limit of Unsplash is reached.")
    assert utc_now() < job.run_at <= utc_now() + timedelta(hours=1)
    assert try_again(job).state is JobState.COMPLETED


# The kind -----------------------------------------------------------------------------------------


def test_any_member_may_start_one_and_two_run_at_once(organisation: UUID) -> None:
    kind = get_kind("find_picture")
    assert (kind.label, kind.may_start, kind.concurrency_limit) == ("Find a picture", MayStart.MEMBER, 2)


@pytest.mark.parametrize("given", [{}, {"query": "  "}, {"query": "x" * 101}, {"query": "a\x00"}, {"query": 7}])
def test_a_search_word_is_needed_and_has_up_to_a_hundred_letters(organisation: UUID, given: dict[str, object]) -> None:
    with pytest.raises(ParametersError) as caught:
        read_parameters(get_kind("find_picture").parameters, given)
    assert list(caught.value.errors) == ["query"]


def test_without_a_key_the_kind_says_how_to_get_one(services: Settings) -> None:
    assert FIND_PICTURE.why_unavailable(replace(services, unsplash_access_key="key")) is None
    words = FIND_PICTURE.why_unavailable(replace(services, unsplash_access_key="")) or ""
    assert "UNSPLASH_ACCESS_KEY" in words
    assert "unsplash.com/developers" in words


def test_a_job_that_was_asked_for_before_the_key_went_fails_with_the_same_words(
    organisation: UUID, unsplash: Unsplash, configure: Configure
) -> None:
    job = add_search(organisation)
    configure(unsplash_access_key="")
    run_waiting()
    job = reread(job)
    assert job.state is JobState.FAILED
    assert "UNSPLASH_ACCESS_KEY" in (job.error or "")
    assert (unsplash.asked, pictures()) == ([], [])
