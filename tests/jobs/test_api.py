"""The jobs' API, called as a program calls it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from redis import Redis

from tests.conftest import Person
from tests.contacts.test_api import Program, assert_problem, body_of, program_of
from tests.jobs import support
from tests.jobs.support import add_job, pretend_worker, register, reread, run_sent, run_waiting, take, write_outcomes
from tests.jobs.test_change import run_until_done
from tests.jobs.test_verbs import add_in
from webapp.accounts.models import Organisation
from webapp.extensions import db, tenant
from webapp.jobs import matching
from webapp.jobs.broker import waiting_count
from webapp.jobs.kinds import MayStart, Result, Run
from webapp.jobs.models import Job, JobState
from webapp.jobs.parameters import Parameter
from webapp.jobs.queries import get_job, list_jobs_by_id
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.redis import broker_client
from webapp.live.channels import job_channel, state_key

KINDS = "/api/v1/job-kinds"
JOBS = "/api/v1/jobs"
NEEDS = (
    Parameter("word", "Word", is_required=True, maximum=10),
    Parameter("number", "Number", "integer", default=3, minimum=1),
    Parameter("api_key", "Key", is_secret=True),
)


def look_up(run: Run) -> Result:
    run.log("Looking.")
    return {"found": run.parameters["word"], "links": [{"label": "The word", "path": "/words/1"}]}


@pytest.fixture(autouse=True)
def startable_kinds() -> None:
    register(support.double, may_start=MayStart.MEMBER, parameters=(support.NUMBER,))
    register(look_up, may_start=MayStart.OWNER, parameters=NEEDS, description="Looks up a word.")
    register(support.give_up, may_start=MayStart.MEMBER, why_unavailable=lambda settings: "Set BROOM_URL first.")


@pytest.fixture
def program(app: APIFlask, organisation: UUID) -> Program:
    return program_of(app, organisation)


@pytest.fixture
def stranger(app: APIFlask, charlie: Person) -> Program:
    return program_of(app, charlie.organisation_id)


def start(program: Program, **body: Any) -> dict[str, Any]:
    answer = program.call("POST", JOBS, json={"kind": "double", **body})
    assert answer.status_code == 202, answer.text
    return body_of(answer)


def read(program: Program, job_id: object) -> dict[str, Any]:
    return body_of(program.call("GET", f"{JOBS}/{job_id}"))


def errors_of(problem: dict[str, Any]) -> dict[str, str]:
    return {error["field"]: error["message"] for error in problem["errors"]}


def id_of(job: Job) -> UUID:
    return reread(job).id


# Kinds ---------------------------------------------------------------------------------------------


def test_kinds_that_may_be_started_are_listed_with_their_parameters(program: Program) -> None:
    listed = {kind["name"]: kind for kind in body_of(program.call("GET", KINDS))["data"]}
    assert {"double", "look_up", "give_up", "rehearsal", "redrive_dead_letters"} <= set(listed)
    assert not {"stumble", "change_jobs"} & set(listed)
    kind = listed["look_up"]
    assert (kind["label"], kind["description"], kind["is_available"]) == ("Look up", "Looks up a word.", True)
    word = {"name": "word", "label": "Word", "type": "text", "is_required": True, "maximum": 10, "is_secret": False}
    assert word.items() <= kind["parameters"][0].items()
    ending = next(one for one in listed["rehearsal"]["parameters"] if one["name"] == "ending")
    assert ending["choices"][0] == {"value": "completes", "label": "It completes"}


def test_a_kind_that_is_not_set_up_says_how_to(program: Program) -> None:
    kind = next(kind for kind in body_of(program.call("GET", KINDS))["data"] if kind["name"] == "give_up")
    assert (kind["is_available"], kind["why_unavailable"]) == (False, "Set BROOM_URL first.")
    problem = assert_problem(
        program.call("POST", JOBS, json={"kind": "give_up"}), 409, "This kind of job is not set up"
    )
    assert problem["detail"] == "Set BROOM_URL first."


# Starting ------------------------------------------------------------------------------------------


def test_a_job_is_accepted_kept_and_read_where_the_answer_points(program: Program, organisation: UUID) -> None:
    answer = program.call("POST", JOBS, json={"kind": "double", "parameters": {"number": 21}})
    assert answer.status_code == 202
    accepted = body_of(answer)
    assert (accepted["kind"], accepted["label"], accepted["state"]) == ("double", "Double", "pending")
    assert answer.headers["Location"] == f"{JOBS}/{accepted['id']}"
    run_waiting()
    done = body_of(program.call("GET", answer.headers["Location"]))
    assert (done["state"], done["result"], done["parameters"]) == ("completed", {"doubled": 42}, {"number": 21})
    assert done["ended_at"].endswith("Z")


def test_a_job_is_sent_at_once(program: Program) -> None:
    pretend_worker()
    start(program)
    assert waiting_count("jobs") == 1


def test_a_job_may_have_a_title_and_a_time_of_its_own(program: Program) -> None:
    run_at = (utc_now() + timedelta(hours=2)).replace(microsecond=0)
    job = start(program, title="  Twice as much  ", run_at=run_at.isoformat())
    assert (job["title"], job["run_at"]) == ("Twice as much", run_at.isoformat().replace("+00:00", "Z"))
    assert take() == []
    assert start(program, title=" ")["title"] == "Double"


def test_a_time_without_an_offset_is_utc(program: Program) -> None:
    run_at = (utc_now() + timedelta(hours=2)).replace(microsecond=0, tzinfo=None)
    assert start(program, run_at=run_at.isoformat())["run_at"] == f"{run_at.isoformat()}Z"


@pytest.mark.parametrize("years", [2, 7_000])
def test_a_job_cannot_be_planned_for_another_age(program: Program, years: int) -> None:
    run_at = utc_now().replace(day=1, year=utc_now().year + years)
    answer = program.call("POST", JOBS, json={"kind": "double", "run_at": run_at.isoformat()})
    problem = assert_problem(answer, 422, "Unprocessable Entity")
    assert errors_of(problem) == {"run_at": "A job can be planned up to a year ahead."}


def test_each_wrong_parameter_is_named_with_its_reason(program: Program) -> None:
    given = {"number": "many", "colour": "red"}
    answer = program.call("POST", JOBS, json={"kind": "look_up", "parameters": given})
    problem = assert_problem(answer, 422, "Unprocessable Entity")
    assert errors_of(problem) == {
        "parameters.word": "This is needed.",
        "parameters.number": "This must be a whole number.",
        "parameters.colour": "There is no such parameter.",
    }
    assert {error["in"] for error in problem["errors"]} == {"body"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "unheard_of"}, "kind"),
        ({"kind": "double", "parameters": []}, "parameters"),
        ({"kind": "double", "run_at": "soon"}, "run_at"),
        ({"kind": "double", "title": "x" * 201}, "title"),
        ({"kind": "double", "title": "\x00"}, "title"),
        ({"kind": "double", "priority": 1}, "priority"),
    ],
    ids=["no kind", "unknown kind", "a list of parameters", "no time", "a long title", "a title of NUL", "more"],
)
def test_what_cannot_be_started_is_refused(program: Program, body: dict[str, Any], field: str) -> None:
    problem = assert_problem(program.call("POST", JOBS, json=body), 422, "Unprocessable Entity")
    assert list(errors_of(problem)) == [field]


@pytest.mark.parametrize("kind", ["stumble", "change_jobs"])
def test_a_kind_that_footfall_alone_starts_is_refused(program: Program, kind: str) -> None:
    problem = assert_problem(program.call("POST", JOBS, json={"kind": kind}), 403, "Not for programs")
    assert "/job-kinds" in problem["detail"]


# Reading -------------------------------------------------------------------------------------------


def test_a_job_shows_its_attempts_with_their_tracebacks_and_no_secret(program: Program, organisation: UUID) -> None:
    job = add_job(organisation, "stumble")
    run_waiting()
    shown = read(program, id_of(job))
    assert (shown["state"], shown["error"], shown["attempt_count"]) == ("retrying", "The shelf is empty.", 1)
    (attempt,) = shown["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["error"]) == (1, "failed", "The shelf is empty.")
    assert "in stumble" in attempt["traceback"]
    secret = start(program, kind="look_up", parameters={"word": "broom", "api_key": "hush"})
    assert read(program, secret["id"])["parameters"] == {"word": "broom", "number": 3, "api_key": "••••"}


def test_a_job_links_to_what_it_made_and_is_about(program: Program, organisation: UUID) -> None:
    job = add_job(organisation, "look_up", given={"word": "broom"})
    reread(job).subject_path = "/brooms/1"
    db.session.commit()
    run_waiting()
    links = [{"label": "Look up", "path": "/brooms/1"}, {"label": "The word", "path": "/words/1"}]
    assert read(program, id_of(job))["links"] == links


def test_a_job_that_waits_its_turn_says_how_many_come_before(program: Program) -> None:
    ids = [start(program)["id"] for _ in range(3)]
    assert [read(program, job_id)["jobs_before"] for job_id in ids] == [0, 1, 2]
    run_waiting()
    assert read(program, ids[2])["jobs_before"] is None


def test_a_job_that_is_planned_for_later_is_behind_nobody(program: Program) -> None:
    start(program)
    later = start(program, run_at=(utc_now() + timedelta(hours=1)).isoformat())
    assert read(program, later["id"])["jobs_before"] is None


def test_a_log_is_read_page_by_page(program: Program, organisation: UUID) -> None:
    def count_aloud(run: Run) -> Result:
        for number in range(5):
            run.log(f"Line {number}")
        return {}

    register(count_aloud)
    job_id = id_of(add_job(organisation, "count_aloud"))
    run_waiting()
    lines = [line for page in pages(program, f"{JOBS}/{job_id}/logs", limit=2) for line in page["data"]]
    assert [(line["attempt"], line["position"], line["message"]) for line in lines] == [
        (1, number + 1, f"Line {number}") for number in range(5)
    ]


@pytest.mark.parametrize("cursor", ["1", "one-two", "1-99999999999", "-1-1"])
def test_a_damaged_cursor_of_a_log_is_refused(program: Program, cursor: str) -> None:
    job_id = start(program)["id"]
    answer = program.call("GET", f"{JOBS}/{job_id}/logs", query_string={"cursor": cursor})
    assert list(errors_of(assert_problem(answer, 422, "Unprocessable Entity"))) == ["cursor"]


def test_events_lead_to_a_stream_that_begins_with_the_job_as_it_is(
    app: APIFlask, program: Program, organisation: UUID
) -> None:
    job_id = start(program)["id"]
    answer = program.call("GET", f"{JOBS}/{job_id}/events")
    assert answer.status_code == 302
    assert "/live/" in answer.headers["Location"]
    assert kept_state(app, organisation, job_id)["data"]["state"] == "pending"
    run_waiting()
    state = kept_state(app, organisation, job_id)
    assert (state["data"]["state"], state["final"]) == ("completed", True)


def test_events_of_a_job_that_is_over_end_with_it(app: APIFlask, program: Program, organisation: UUID) -> None:
    job_id = start(program)["id"]
    run_waiting()
    program.call("GET", f"{JOBS}/{job_id}/events")
    state = kept_state(app, organisation, job_id)
    assert (state["data"]["state"], state["final"]) == ("completed", True)


def kept_state(app: APIFlask, organisation_id: UUID, job_id: str) -> dict[str, Any]:
    """What a stream of the job begins with."""
    kept = broker_client(app.extensions["settings"]).get(state_key(job_channel(organisation_id, UUID(job_id))))
    assert isinstance(kept, bytes)
    state: dict[str, Any] = json.loads(kept)
    return state


# Listing -------------------------------------------------------------------------------------------


def pages(program: Program, url: str = JOBS, **query: Any) -> Iterator[dict[str, Any]]:
    """Each page of a list, as its cursors lead on."""
    cursor = None
    while True:
        page = body_of(program.call("GET", url, query_string={**query, **({"cursor": cursor} if cursor else {})}))
        yield page
        if (cursor := page["next_cursor"]) is None:
            return


def test_jobs_are_listed_newest_first_page_by_page(program: Program) -> None:
    ids = [start(program)["id"] for _ in range(5)]
    found = list(pages(program, limit=2))
    assert [len(page["data"]) for page in found] == [2, 2, 1]
    assert sorted((job["id"] for page in found for job in page["data"]), reverse=True) == sorted(ids, reverse=True)
    assert {page["looked_until"] for page in found} == {None}


def test_jobs_are_found_by_what_is_asked_for(program: Program, organisation: UUID) -> None:
    dead = str(id_of(add_in(organisation, JobState.DEAD)))
    failed = str(id_of(add_in(organisation, JobState.FAILED, title="Sweep")))
    today = utc_now().date().isoformat()
    expected: list[tuple[dict[str, Any], set[str]]] = [
        ({"state": "dead"}, {dead}),
        ({"state": "dead,failed"}, {dead, failed}),
        ({"state": ["dead", "failed"]}, {dead, failed}),
        ({"state": "pending"}, set()),
        ({"text": "SWEEP"}, {failed}),
        ({"kind": "double", "queue": "jobs", "since": today, "until": today}, {dead, failed}),
        ({"queue": "imports"}, set()),
        ({"until": "2020-01-01"}, set()),
    ]
    for query, ids in expected:
        (page,) = pages(program, **query)
        assert {job["id"] for job in page["data"]} == ids, query


def test_a_text_that_is_far_back_is_found_by_going_on(
    program: Program, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "LOOK_LIMIT", 3)
    start(program, title="Sweep the floor")
    for _ in range(7):
        start(program)
    found = list(pages(program, text="floor"))
    assert [len(page["data"]) for page in found] == [0, 0, 1]
    assert [page["looked_until"] is not None for page in found] == [True, True, False]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "asleep"}, "state"),
        ({"queue": "supermarket"}, "queue"),
        ({"since": "yesterday"}, "since"),
        ({"until": "soon"}, "until"),
        ({"recurring_job_id": "7"}, "recurring_job_id"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"cursor": "further"}, "cursor"),
        ({"colour": "red"}, "colour"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_list_that_means_nothing_is_refused(program: Program, query: dict[str, Any], field: str) -> None:
    problem = assert_problem(program.call("GET", JOBS, query_string=query), 422, "Unprocessable Entity")
    assert list(errors_of(problem)) == [field]
    assert problem["errors"][0]["in"] == "query"


# Changing ------------------------------------------------------------------------------------------


def test_a_job_that_waits_is_cancelled_at_once(program: Program) -> None:
    job_id = start(program)["id"]
    answer = program.call("POST", f"{JOBS}/{job_id}/cancel")
    assert (answer.status_code, body_of(answer)["state"]) == (200, "cancelled")
    run_waiting()
    assert support.runs == []


def test_a_job_that_runs_is_asked_to_stop(program: Program, organisation: UUID) -> None:
    job = add_in(organisation, JobState.RUNNING)
    answer = program.call("POST", f"{JOBS}/{id_of(job)}/cancel")
    assert (answer.status_code, body_of(answer)["state"]) == (202, "running")
    assert body_of(answer)["cancel_requested_at"] is not None
    assert program.call("POST", f"{JOBS}/{id_of(job)}/cancel").status_code == 202


def test_a_dead_job_is_tried_again_and_sent(program: Program, organisation: UUID) -> None:
    job = add_in(organisation, JobState.DEAD)
    pretend_worker()
    answer = program.call("POST", f"{JOBS}/{id_of(job)}/retry")
    assert (answer.status_code, body_of(answer)["state"], body_of(answer)["redrive_count"]) == (202, "pending", 1)
    assert waiting_count("jobs") == 1


def test_a_failed_job_is_put_away(program: Program, organisation: UUID) -> None:
    job = add_in(organisation, JobState.FAILED)
    answer = program.call("POST", f"{JOBS}/{id_of(job)}/discard")
    assert (answer.status_code, body_of(answer)["state"]) == (200, "discarded")


@pytest.mark.parametrize(
    ("verb", "state", "title", "words"),
    [
        ("cancel", JobState.COMPLETED, "The job cannot be cancelled", "nothing to stop"),
        ("retry", JobState.RUNNING, "The job cannot be tried again", "not over yet"),
        ("retry", JobState.COMPLETED, "The job cannot be tried again", "Start another job"),
        ("discard", JobState.PENDING, "The job cannot be discarded", "Only a failed or dead job"),
    ],
    ids=["cancel", "retry too early", "retry too late", "discard"],
)
def test_what_cannot_be_done_says_why(
    program: Program, organisation: UUID, verb: str, state: JobState, title: str, words: str
) -> None:
    job = add_in(organisation, state)
    problem = assert_problem(program.call("POST", f"{JOBS}/{id_of(job)}/{verb}"), 409, title)
    assert words in problem["detail"]
    assert reread(job).state is state


def test_several_jobs_are_changed_by_their_ids(program: Program, organisation: UUID, charlie: Person) -> None:
    ours = [id_of(add_in(organisation, state)) for state in (JobState.DEAD, JobState.FAILED, JobState.COMPLETED)]
    theirs = add_in(charlie.organisation_id, JobState.DEAD)
    ids = [str(job_id) for job_id in (*ours, id_of(theirs), uuid7())]
    answer = program.call("POST", f"{JOBS}/retry", json={"ids": ids})
    assert (answer.status_code, body_of(answer)) == (200, {"changed_count": 2, "skipped_count": 3, "job": None})
    db.session.rollback()
    states = {job.state for job in list_jobs_by_id(organisation, ours)}
    assert states == {JobState.PENDING, JobState.COMPLETED}
    assert reread(theirs).state is JobState.DEAD


@pytest.mark.parametrize(
    ("verb", "state", "after"),
    [
        ("cancel", "pending", JobState.CANCELLED),
        ("retry", "dead", JobState.PENDING),
        ("discard", "dead", JobState.DISCARDED),
    ],
    ids=["cancel", "retry", "discard"],
)
def test_all_that_match_are_changed_by_a_job_that_says_how_many(
    program: Program, organisation: UUID, verb: str, state: str, after: JobState
) -> None:
    jobs = [add_in(organisation, JobState(state)) for _ in range(3)]
    answer = program.call("POST", f"{JOBS}/{verb}", json={"filter": {"state": [state], "kind": "double"}})
    assert answer.status_code == 202
    job = body_of(answer)["job"]
    assert (job["kind"], job["title"]) == ("change_jobs", f"{verb.capitalize()} all {state} jobs of the kind “Double”")
    assert answer.headers["Location"] == f"{JOBS}/{job['id']}"
    found = get_job(organisation, UUID(job["id"]))
    assert found is not None
    assert run_until_done(found).result == {"changed_count": 3, "skipped_count": 0}
    assert {reread(one).state for one in jobs} == {after}


def test_a_filters_days_are_those_of_the_organisation(program: Program, organisation: UUID) -> None:
    db.session.get_one(Organisation, organisation).time_zone = "Pacific/Auckland"
    db.session.commit()
    answer = program.call("POST", f"{JOBS}/discard", json={"filter": {"since": "2026-01-31"}})
    job = get_job(organisation, UUID(body_of(answer)["job"]["id"]))
    assert job is not None
    assert (job.title, job.parameters["since"]) == ("Discard all jobs since 2026-01-31", "2026-01-30T11:00")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"ids": [str(uuid7())], "filter": {}}, ""),
        ({"ids": []}, "ids"),
        ({"ids": ["seven"]}, "ids.0"),
        ({"ids": [str(UUID(int=number)) for number in range(501)]}, "ids"),
        ({"filter": {"state": ["asleep"]}}, "filter.state"),
        ({"filter": {"since": "yesterday"}}, "filter.since"),
        ({"filter": {"colour": "red"}}, "filter.colour"),
    ],
    ids=["nothing", "both", "no id", "no such id", "too many", "no state", "no time", "no such part"],
)
def test_a_change_that_means_nothing_is_refused(program: Program, body: dict[str, Any], field: str) -> None:
    problem = assert_problem(program.call("POST", f"{JOBS}/retry", json=body), 422, "Unprocessable Entity")
    assert list(errors_of(problem)) == [field]


# Others --------------------------------------------------------------------------------------------


def test_another_organisations_jobs_are_not_there(stranger: Program, organisation: UUID) -> None:
    job = add_in(organisation, JobState.DEAD)
    addresses = [("GET", ""), ("GET", "/events"), ("GET", "/logs")]
    addresses += [("POST", f"/{verb}") for verb in ("cancel", "retry", "discard")]
    for method, end in addresses:
        assert_problem(stranger.call(method, f"{JOBS}/{id_of(job)}{end}"), 404, "Job not found")
    assert body_of(stranger.call("GET", JOBS))["data"] == []
    assert reread(job).state is JobState.DEAD


def test_another_organisations_change_of_everything_leaves_ours(
    stranger: Program, organisation: UUID, charlie: Person
) -> None:
    job = add_in(organisation, JobState.DEAD)
    answer = stranger.call("POST", f"{JOBS}/discard", json={"filter": {}})
    with tenant(charlie.organisation_id):
        change = get_job(charlie.organisation_id, UUID(body_of(answer)["job"]["id"]))
        assert change is not None
        assert run_until_done(change).result == {"changed_count": 0, "skipped_count": 0}
    assert reread(job).state is JobState.DEAD


def test_a_key_is_needed(app: APIFlask) -> None:
    for method, url in (("GET", KINDS), ("GET", JOBS), ("POST", JOBS), ("POST", f"{JOBS}/retry")):
        assert Program(app, "ff_wrong").call(method, url).status_code == 401


def test_jobs_are_kept_while_the_broker_is_away(
    app: APIFlask, program: Program, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Redis(host="127.0.0.1", port=1)
    broker = app.extensions["broker"]
    monkeypatch.setitem(app.extensions, "broker", nowhere)
    job_id = start(program)["id"]
    assert_problem(program.call("GET", f"{JOBS}/{job_id}/events"), 503, "No stream")
    assert program.call("POST", f"{JOBS}/{job_id}/cancel").status_code == 200
    assert body_of(program.call("POST", f"{JOBS}/retry", json={"ids": [job_id]}))["changed_count"] == 1
    monkeypatch.setitem(app.extensions, "broker", broker)
    run_sent(take())
    write_outcomes()
    assert read(program, job_id)["state"] == "completed"
