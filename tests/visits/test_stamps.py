"""An answer that is kept is never an old one, whatever changed, and is asked for once while nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person, owner_connection
from tests.visits.counting.test_rebuilding import rebuild_site
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, read_raw, utc
from tests.visits.test_api import make_key
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits import answers
from webapp.visits.backlog import Kind
from webapp.visits.kept_answers import KEPT, KeptAnswers
from webapp.visits.models import RawKind, Site
from webapp.visits.questions import FIELDS, Filter, Operator, Question
from webapp.visits.raw import tasks, upkeep
from webapp.visits.raw.erasing import erase_visitors
from webapp.visits.raw.sealing import Sealer
from webapp.visits.stamps import stamp_of

NOON = utc("2026-11-20T12:00:00")
Change = Callable[[], None]


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    site = add_site(app, alice.organisation_id)
    count(app, services, site, visitor="alice")
    return site


def count(app: APIFlask, services: Settings, site: Site, **changes: object) -> None:
    at = changes.pop("at", NOON)
    add_rows(services, [make_row(site, at, **changes)])  # type: ignore[arg-type]
    count_all(app, services)


@contextmanager
def asking(app: APIFlask, site: Site) -> Iterator[Question]:
    with app.app_context(), tenant(site.organisation_id):
        midnight = NOON.replace(hour=0)
        yield Question(site.organisation_id, (site.id,), midnight, midnight + timedelta(days=1))


def ask_everything(question: Question) -> list[object]:
    """Every kind of answer, with a filter and without."""
    found: list[object] = []
    for filters in ((), (Filter("device", Operator.IS_NOT, ("tv",)),)):
        asked = replace(question, filters=filters)
        edges = [asked.start, NOON, asked.end]
        found += [answers.totals(asked), answers.points(asked, edges), answers.summary(asked, edges, NOON)]
        found += [answers.breakdown(asked, field, 10) for field in FIELDS]
        found += [answers.most_visited(asked, field, 10) for field in FIELDS]
        found += [answers.overview(asked, edges, ["page", "event"], 5), answers.visitors_by(asked, "device")]
    return found


def test_no_change_leaves_an_old_answer(app: APIFlask, services: Settings, site: Site) -> None:
    visitor = int(read_raw(services, RawKind.ACTIVITY).get_column("visitor")[0])

    def seal() -> None:
        with app.app_context():
            tasks.seal_chunks()

    def erase() -> None:
        with app.app_context(), tenant(site.organisation_id):
            erase_visitors(Sealer(services), site.organisation_id, [site.id], [visitor], db.session.commit)

    def expire() -> None:
        with app.app_context(), tenant(site.organisation_id):
            upkeep.expire(site.organisation_id, site.id, NOON + timedelta(minutes=10), utc_now())
            db.session.commit()

    def rebuild() -> None:
        with owner_connection(services) as connection:
            connection.execute("UPDATE site_roll_ups SET pageview_count = pageview_count + 5")
        KEPT.forget()  # nobody tells of a row that was changed by hand
        with asking(app, site) as question:
            ask_everything(question)
        rebuild_site(app, site)

    changes: list[Change] = [
        lambda: count(app, services, site, visitor="bob"),
        lambda: count(app, services, site, visitor="bob", kind=Kind.PRODUCT, name="sku-1"),
        lambda: count(app, services, site, visitor="bob", kind=Kind.EVENT, name="sign-up", props='{"plan":"pro"}'),
        lambda: count(app, services, site, visitor="bob", kind=Kind.ENGAGEMENT, engaged_ms=10, scroll=5),
        lambda: count(app, services, site, visitor="bob", at=NOON - timedelta(minutes=9), page_url=f"{ORIGIN}/late"),
        seal,
        lambda: count(app, services, site, visitor="charlie", at=NOON - timedelta(hours=11)),
        erase,
        rebuild,
        expire,
    ]
    for change in changes:
        with asking(app, site) as question:
            ask_everything(question)
        change()
        with asking(app, site) as question:
            found = ask_everything(question)
            KEPT.forget()
            assert ask_everything(question) == found, change


def test_what_is_counted_elsewhere_changes_no_stamp(app: APIFlask, services: Settings, site: Site) -> None:
    other = add_site(app, site.organisation_id, "https://blog.example")
    with asking(app, site) as question:
        before = stamp_of(question)
    count(app, services, other)
    count(app, services, site, at=NOON + timedelta(days=10))
    with asking(app, site) as question:
        assert stamp_of(question) != before  # the little chunk was joined with the new row
        joined = stamp_of(question)
    with app.app_context():
        tasks.seal_chunks()
    with asking(app, site) as question:
        sealed = stamp_of(question)
    assert len({before, joined, sealed}) == 3
    count(app, services, site, at=NOON + timedelta(days=20))
    with asking(app, site) as question:
        assert stamp_of(question) == sealed


def test_whoever_has_the_answer_already_makes_nobody_work(
    app: APIFlask, client: FlaskClient, alice: Person, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(app, alice.organisation_id)
    day = {"dateFrom": "2026-11-20", "dateTo": "2026-11-20", "field": "page", "event": "sign-up"}
    paths = [
        "/api/v1/visits",
        *(f"/api/v1/analytics/{name}" for name in ("time-series", "breakdown", "event-summary")),
    ]
    tags = [client.get(path, query_string=day, headers=key).headers["ETag"] for path in paths]
    assert len(set(tags)) == len(paths)
    for name in ("points", "breakdown", "totals", "page_points", "visitors_by"):
        monkeypatch.delattr(answers, name)
    for path, tag in zip(paths, tags, strict=True):
        again = client.get(path, query_string=day, headers={**key, "If-None-Match": tag})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)


def test_answers_to_other_questions_have_other_tags(
    app: APIFlask, client: FlaskClient, alice: Person, site: Site
) -> None:
    key = make_key(app, alice.organisation_id)
    path = "/api/v1/analytics/breakdown"
    questions = [
        {"field": "page"},
        {"field": "country"},
        {"field": "page", "limit": "1"},
        {"field": "page", "where": "country:is:DE"},
        {"field": "page", "where": "country:is_not:DE"},
        {"field": "page", "siteId": str(site.id), "dateFrom": "2026-11-19", "dateTo": "2026-11-20"},
        {"field": "page", "siteId": str(site.id), "dateFrom": "2026-11-20", "dateTo": "2026-11-20"},
    ]
    tags = {client.get(path, query_string=asked, headers=key).headers["ETag"] for asked in questions}
    assert len(tags) == len(questions)


def test_answers_used_longest_ago_are_kept_no_longer() -> None:
    kept = KeptAnswers(8)
    made: list[str] = []

    def ask(key: str, size: int = 1) -> str:
        def make() -> str:
            made.append(key)
            return f"answer to {key}"

        return kept.get(key, make, lambda _: size)

    for key in ("a", "b", "c", "d", "a", "e"):  # each counts for itself, too: two
        assert ask(key) == f"answer to {key}"
    assert made == ["a", "b", "c", "d", "e"]
    ask("a")
    ask("b")
    assert made[5:] == ["b"]
    ask("large", 100)
    ask("large", 100)
    assert made[6:] == ["large", "large"]
    kept.forget()
    ask("a")
    assert made[-1] == "a"
