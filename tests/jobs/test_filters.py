"""Filters: read from addresses, written into them, and answered as a plain look at every job would."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from werkzeug.datastructures import MultiDict

from tests.conftest import Person
from webapp.extensions import db, tenant
from webapp.jobs import matching
from webapp.jobs.filters import FilterError, JobFilter, filter_arguments, read_filter, read_filter_strictly
from webapp.jobs.models import Job, JobState
from webapp.jobs.queries import JobCount, count_jobs_by_state, count_matching, list_jobs
from webapp.lib.ids import lowest_uuid7, uuid7, uuid7_time

BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
JOB_COUNT = 200
KINDS = {"sweep": "jobs", "polish": "jobs", "import": "imports"}
TITLES = ("Polish the floor", "Sweep 100% of it", "sweep_up", "Straße fegen", "Back\\slash", "ÄRGER")
ERRORS = (None, None, "The broom is gone.", "Permission denied: floor")
TEXTS = ("floor", "FLOOR", "100%", "%", "_", "straße", "\\", "ärger", "broom", "nothing of the kind")
RECURRING = UUID("0190a000-0000-7000-8000-000000000001")


def moment(day: int) -> datetime:
    return BEGIN + timedelta(days=day)


def fill(organisation_id: UUID, seed: int = 7) -> list[Job]:
    """Jobs of four weeks in every state, the newest first."""
    chance = random.Random(seed)
    jobs = [make_job(organisation_id, chance, number) for number in range(JOB_COUNT)]
    with tenant(organisation_id):
        db.session.add_all(jobs)
        db.session.commit()
        return sorted(jobs, key=lambda job: job.id, reverse=True)


def make_job(organisation_id: UUID, chance: random.Random, number: int) -> Job:
    created_at = BEGIN + timedelta(hours=number * 28 * 24 / JOB_COUNT)
    kind = chance.choice(list(KINDS))
    return Job(
        organisation_id=organisation_id,
        id=uuid7(created_at),
        created_at=created_at,
        kind=kind,
        queue=KINDS[kind],
        title=chance.choice(TITLES),
        error=chance.choice(ERRORS),
        state=chance.choice(list(JobState)),
        recurring_job_id=chance.choice([None, None, RECURRING]),
    )


def make_filters(count: int = 120, seed: int = 11) -> list[JobFilter]:
    """Combinations by chance, always the same ones."""
    chance = random.Random(seed)
    return [make_filter(chance) for _ in range(count)]


def make_filter(chance: random.Random) -> JobFilter:
    states = chance.sample(list(JobState), chance.choice([0, 0, 1, 2, 3, 8]))
    return JobFilter(
        states=frozenset(states),
        kind=chance.choice([None, None, *KINDS, "unheard_of"]),
        queue=chance.choice([None, None, "jobs", "imports"]),
        text=chance.choice(["", "", *TEXTS]),
        since=chance.choice([None, None, moment(chance.randrange(28))]),
        until=chance.choice([None, None, moment(chance.randrange(28))]),
        recurring_job_id=chance.choice([None, None, None, RECURRING]),
    )


def matches(job: Job, wanted: JobFilter) -> bool:
    """What a filter means, said once more and slowly."""
    words = f"{job.title}\n{job.error or ''}".lower()
    return (
        (not wanted.states or job.state in wanted.states)
        and wanted.kind in {None, job.kind}
        and wanted.queue in {None, job.queue}
        and wanted.text.lower() in words
        and (wanted.since is None or job.created_at >= wanted.since)
        and (wanted.until is None or job.created_at < wanted.until)
        and wanted.recurring_job_id in {None, job.recurring_job_id}
    )


def walk(organisation_id: UUID, wanted: JobFilter, limit: int) -> list[UUID]:
    """Ids of all pages, one after the other."""
    found: list[UUID] = []
    before: UUID | None = None
    while True:
        page = list_jobs(organisation_id, wanted, before=before, limit=limit)
        found += [job.id for job in page.jobs]
        if page.next_before is None:
            return found
        before = page.next_before


def ids(jobs: Iterable[Job]) -> list[UUID]:
    return [job.id for job in jobs]


def test_every_combination_lists_what_a_plain_look_finds(organisation: UUID) -> None:
    jobs = fill(organisation)
    for wanted in make_filters():
        assert walk(organisation, wanted, 7) == [job.id for job in jobs if matches(job, wanted)], wanted


def test_pages_that_look_only_a_little_further_each_miss_nothing(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "LOOK_LIMIT", 10)
    jobs = fill(organisation)
    for wanted in make_filters():
        assert walk(organisation, wanted, 7) == [job.id for job in jobs if matches(job, wanted)], wanted


def test_every_combination_counts_what_a_plain_look_finds(organisation: UUID) -> None:
    jobs = fill(organisation)
    for wanted in make_filters():
        found = [job.state for job in jobs if matches(job, wanted)]
        counts = count_jobs_by_state(organisation, wanted)
        assert {state: count for state, count in counts.items() if count} == {s: found.count(s) for s in set(found)}
        assert count_matching(organisation, wanted) == JobCount(len(found), is_exact=True)


def test_counts_stop_one_above_what_is_wanted(organisation: UUID) -> None:
    jobs = fill(organisation)
    exact = count_jobs_by_state(organisation, JobFilter())
    assert count_jobs_by_state(organisation, JobFilter(), most=5) == dict.fromkeys(exact, 6)
    assert count_matching(organisation, JobFilter(), most=50) == JobCount(50, is_exact=False)
    assert count_matching(organisation, JobFilter(), most=len(jobs)) == JobCount(len(jobs), is_exact=True)


def test_a_text_is_looked_for_so_far_and_the_page_says_how_far(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "LOOK_LIMIT", 10)
    jobs = fill(organisation)
    wanted = JobFilter(text="nothing of the kind")
    page = list_jobs(organisation, wanted)
    assert (page.jobs, page.next_before, page.looked_until) == ([], jobs[9].id, jobs[9].id)
    assert page.looked_until_at == uuid7_time(jobs[9].id)
    assert count_matching(organisation, JobFilter(text="o")).is_exact is False


def test_a_full_page_of_found_texts_goes_on_where_it_ended(organisation: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "LOOK_LIMIT", 50)
    fill(organisation)
    page = list_jobs(organisation, JobFilter(text="e"), limit=3)
    assert (len(page.jobs), page.next_before, page.looked_until) == (3, page.jobs[-1].id, None)


def test_the_last_page_says_that_it_is_the_last(organisation: UUID) -> None:
    jobs = fill(organisation)
    page = list_jobs(organisation, JobFilter(), limit=JOB_COUNT)
    assert (ids(page.jobs), page.next_before, page.looked_until) == (ids(jobs), None, None)


def test_no_filter_finds_another_organisations_jobs(organisation: UUID, charlie: Person) -> None:
    fill(charlie.organisation_id)
    for wanted in make_filters(30):
        assert list_jobs(organisation, wanted).jobs == []
        assert list_jobs(charlie.organisation_id, wanted).jobs == []
        assert count_matching(organisation, wanted) == JobCount(0, is_exact=True)


def test_what_follows_in_the_transaction_is_planned_as_before(organisation: UUID) -> None:
    from sqlalchemy import text

    list_jobs(organisation, JobFilter(text="x"))
    assert db.session.scalar(text("SHOW enable_bitmapscan")) == "on"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"])
def test_a_filter_written_into_an_address_is_read_as_the_same(zone: str) -> None:
    place = ZoneInfo(zone)
    for wanted in make_filters():
        assert read_filter_strictly(filter_arguments(wanted, place), place) == wanted


@pytest.mark.parametrize("minutes", range(-90, 181, 15))
def test_a_time_keeps_its_meaning_around_the_change_of_the_clocks(minutes: int) -> None:
    at = datetime(2026, 10, 25, 1, 0, tzinfo=UTC) + timedelta(minutes=minutes, seconds=1)
    wanted = JobFilter(since=at, until=at)
    assert read_filter_strictly(filter_arguments(wanted, BERLIN), BERLIN) == wanted


def test_a_day_is_written_as_a_day_and_belongs_to_the_zone() -> None:
    wanted = read_filter({"since": "2026-03-02", "until": "2026-03-02"}, BERLIN)
    assert wanted.since == datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
    assert wanted.until == datetime(2026, 3, 2, 23, 0, tzinfo=UTC)
    assert filter_arguments(wanted, BERLIN) == {"since": "2026-03-02", "until": "2026-03-02"}


def test_a_time_is_written_as_a_field_for_times_takes_it() -> None:
    wanted = read_filter({"since": "2026-03-02T10:30"}, BERLIN)
    assert wanted.since == datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    assert filter_arguments(wanted, BERLIN) == {"since": "2026-03-02T10:30"}


@pytest.mark.parametrize(
    "arguments",
    [{"state": "dead,failed"}, {"state": ["failed", "dead"]}, MultiDict([("state", "dead"), ("state", "failed")])],
    ids=["commas", "a list", "several times"],
)
def test_several_states_come_with_commas_or_several_times(arguments: dict[str, object]) -> None:
    wanted = read_filter_strictly(arguments, UTC)
    assert wanted.states == {JobState.DEAD, JobState.FAILED}
    assert filter_arguments(wanted, UTC) == {"state": "failed,dead"}


def test_an_empty_form_is_an_empty_filter() -> None:
    arguments = MultiDict([("state", ""), ("kind", " "), ("text", ""), ("since", ""), ("until", "")])
    assert read_filter_strictly(arguments, UTC).is_empty
    assert not JobFilter(text="x").is_empty
    assert filter_arguments(JobFilter(), UTC) == {}


NONSENSE = {
    "state": "asleep",
    "kind": "x" * 201,
    "queue": "supermarket",
    "text": "\x00",
    "since": "yesterday",
    "until": "9999-12-31",
    "recurring_job_id": "seven",
}


@pytest.mark.parametrize("name", list(NONSENSE))
def test_nonsense_is_left_out_on_a_page_and_refused_to_a_program(name: str) -> None:
    arguments = {name: NONSENSE[name], "text": "floor"} if name != "text" else {"text": "\x00", "kind": "sweep"}
    kept = {other: value for other, value in arguments.items() if other != name}
    assert filter_arguments(read_filter(arguments, UTC), UTC) == kept
    with pytest.raises(FilterError) as refusal:
        read_filter_strictly(arguments, UTC)
    assert list(refusal.value.errors) == [name]


def test_states_that_exist_count_beside_one_that_does_not() -> None:
    assert read_filter({"state": "dead,asleep"}, UTC) == JobFilter(states=frozenset({JobState.DEAD}))


@pytest.mark.parametrize("text", ["2026-03-02T10:30Z", "2026-03-02T11:30+01:00", "2026-03-02T10:30:00.000Z"])
def test_a_time_with_its_offset_is_that_time(text: str) -> None:
    assert read_filter({"until": text}, BERLIN).until == datetime(2026, 3, 2, 10, 30, tzinfo=UTC)


def test_ids_of_a_time_begin_with_the_lowest() -> None:
    at = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
    assert uuid7(at - timedelta(milliseconds=1)) < lowest_uuid7(at) < uuid7(at)
    assert lowest_uuid7(datetime(1900, 1, 1, tzinfo=UTC)).int == 0
