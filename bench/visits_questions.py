"""What the visits benchmark asks of one site: its page, the API, and single questions, with pairs of filters."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Flask

from bench.visits_data import ORIGIN
from webapp.visits.questions import Filter, Operator, Question

RUNS = 2
PLAIN_RUNS = 20
IS, IS_NOT, BEGINS = Operator.IS, Operator.IS_NOT, Operator.BEGINS
PAGE = f"{ORIGIN}/products/item-7"
PAIRS = (
    (Filter("country", IS, ("DE",)), Filter("device", IS, ("mobile",))),
    (Filter("browser", IS, ("Firefox",)), Filter("system", IS_NOT, ("Windows",))),
    (Filter("language", BEGINS, ("en",)), Filter("screen", IS, ("1080x1020",))),
    (Filter("page", IS, (PAGE,)), Filter("country", IS, ("US", "GB"))),
    (Filter("page", BEGINS, (f"{ORIGIN}/products/item-1",)), Filter("device", IS, ("desktop",))),
    (Filter("channel", IS, ("organic-search",)), Filter("device", IS, ("mobile",))),
    (Filter("referrer", IS, ("site-3.example",)), Filter("country", IS_NOT, ("US",))),
    (Filter("utm_campaign", IS, ("issue-7",)), Filter("country", IS, ("FR",))),
    (Filter("entry_page", IS, (PAGE,)), Filter("browser", IS, ("Chrome",))),
    (Filter("page", IS_NOT, (PAGE,)), Filter("country", IS_NOT, ("DE",))),
)
FUNNEL = tuple(Filter("page", IS, (f"{ORIGIN}/products/item-{number}",)) for number in (1, 2, 3))


Figures = dict[str, str]


class Asker:
    """A site, a member who is signed in, and an API key."""

    def __init__(self, app: Flask, organisation_id: UUID, site_id: UUID) -> None:
        self._app, self._organisation_id, self._site_id = app, organisation_id, site_id
        self._client, self._headers = _sign_in(app, organisation_id), _api_headers(app, organisation_id)
        end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._question = Question(organisation_id, (site_id,), end - timedelta(days=365), end)

    def measure(self) -> Figures:
        """p95 in milliseconds of each kind of answer."""
        figures: Figures = {}
        for measured in (self._plain, self._filtered, self._single, self._journeys):
            for name, text in measured().items():
                print(name, text, flush=True)
                figures[name] = text
        return figures

    def _plain(self) -> Figures:
        """Without a filter, over roll-ups."""
        asks = {"page": self._page(()), **self._api(())}
        found = {f"{name}, 12 months": told(milliseconds(ask, PLAIN_RUNS)) for name, ask in asks.items()}
        return {**found, "page, 12 months, again": told(milliseconds(self._page((), is_kept=True), PLAIN_RUNS))}

    def _filtered(self) -> Figures:
        """The page and the API, with every pair."""
        return {f"{name}, two filters": self._over_pairs(ask) for name, ask in self._requests().items()}

    def _requests(self) -> dict[str, Callable[[tuple[Filter, ...]], Callable[[], None]]]:
        return {"page": self._page, **{name: (lambda pair, of=name: self._api(pair)[of]) for name in self._api(())}}

    def _single(self) -> Figures:
        """Questions to raw rows, each by itself."""
        from webapp.visits.raw import engine

        edges = [self._question.start + timedelta(days=day) for day in range(366)]
        asks: dict[str, Callable[[Question], Any]] = {
            "totals": engine.totals,
            "points of 365 days": lambda question: engine.points(question, edges),
            **{f"top 10 of {field}": _top(field) for field in ("page", "country", "referrer", "entry_page")},
        }
        return {f"query, {name}, two filters": self._over_pairs(self._within(ask)) for name, ask in asks.items()}

    def _journeys(self) -> Figures:
        from webapp.visits.raw.flows import flow
        from webapp.visits.raw.journeys import funnel, retention_by_week

        weeks = [self._question.start + timedelta(days=7 * week) for week in range(53)]
        asks: dict[str, Callable[[Question], Any]] = {
            "funnel of 3 steps": lambda question: funnel(question, FUNNEL),
            "journeys around a page": lambda question: flow(question, Filter("page", IS, (PAGE,)), 3, 10),
            "journeys from the entry": lambda question: flow(question, None, 3, 10),
            "52 weeks' retention": lambda question: retention_by_week(replace(question, end=weeks[-1]), weeks),
        }
        return {name: told(milliseconds(self._within(ask)(()), RUNS)) for name, ask in asks.items()}

    def _over_pairs(self, make: Callable[[tuple[Filter, ...]], Callable[[], Any]]) -> str:
        taken = {pair: milliseconds(make(pair), RUNS) for pair in PAIRS}
        slowest = max(taken, key=lambda pair: taken[pair][-1])
        named = " and ".join(wanted.field for wanted in slowest)
        return f"{told(sorted(one for times in taken.values() for one in times))} (slowest: {named})"

    def _within(self, ask: Callable[[Question], Any]) -> Callable[[tuple[Filter, ...]], Callable[[], Any]]:
        from webapp.extensions import tenant

        def make(pair: tuple[Filter, ...]) -> Callable[[], Any]:
            def work() -> Any:
                with self._app.app_context(), tenant(self._organisation_id):
                    return ask(replace(self._question, filters=pair))

            return work

        return make

    def _page(self, pair: tuple[Filter, ...], *, is_kept: bool = False) -> Callable[[], None]:
        return self._get("/visits", {"range": "12m", "where": texts_of(pair)}, {}, site="site", is_kept=is_kept)

    def _api(self, pair: tuple[Filter, ...]) -> dict[str, Callable[[], None]]:
        last = self._question.end - timedelta(days=1)
        asked = {"dateFrom": f"{last - timedelta(days=364):%F}", "dateTo": f"{last:%F}", "where": texts_of(pair)}
        get = "/api/v1/analytics"
        return {
            "API time-series": self._get(f"{get}/time-series", {**asked, "aggregation": "month"}, self._headers),
            "API breakdown by page": self._get(f"{get}/breakdown", {**asked, "field": "page"}, self._headers),
            "API breakdown by country": self._get(f"{get}/breakdown", {**asked, "field": "country"}, self._headers),
        }

    def _get(
        self,
        path: str,
        query: dict[str, Any],
        headers: dict[str, str],
        *,
        site: str = "siteId",
        is_kept: bool = False,
    ) -> Callable[[], None]:
        """Ask by address; unless it says so, nobody was answered before."""
        from webapp.visits.kept_answers import KEPT

        url = f"{path}?{urlencode({site: str(self._site_id), **query}, doseq=True)}"

        def work() -> None:
            if not is_kept:
                KEPT.forget()
            answer = self._client.get(url, headers=headers)
            if answer.status_code != 200:
                raise RuntimeError(f"{url} answered {answer.status}.")

        return work


def texts_of(pair: Sequence[Filter]) -> list[str]:
    """Filters as addresses have them."""
    return [f"{one.field}:{one.operator.value}:{value}" for one in pair for value in one.values]


def told(times: list[float]) -> str:
    """The middle and the 95th percentile of sorted times."""
    return f"p50 {statistics.median(times):.0f}, p95 {times[round(0.95 * (len(times) - 1))]:.0f}"


def milliseconds(work: Callable[[], Any], runs: int = RUNS) -> list[float]:
    """Sorted, after one that warms up."""
    taken = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken[1:])


def _top(field: str) -> Callable[[Question], Any]:
    from webapp.visits.raw import engine

    return lambda question: engine.breakdown(question, field, 10)


def _sign_in(app: Flask, organisation_id: UUID) -> Any:
    from webapp.accounts.models import Membership, Role, User
    from webapp.extensions import db, tenant
    from webapp.lib.ids import uuid7

    with app.app_context(), tenant(organisation_id):
        name = str(uuid7())
        user = User(issuer="https://issuer.example", subject=name, email=f"{name}@example.com", name="Bench")
        db.session.add(user)
        db.session.flush()
        db.session.add(Membership(organisation_id=organisation_id, user_id=user.id, role=Role.OWNER))
        cookie_id = user.get_id()
        db.session.commit()
    client = app.test_client()
    with client.session_transaction() as session:
        session["_user_id"], session["_fresh"] = cookie_id, True
    return client


def _api_headers(app: Flask, organisation_id: UUID) -> dict[str, str]:
    from webapp.accounts.service import create_api_key
    from webapp.extensions import db, tenant

    with app.app_context(), tenant(organisation_id):
        _, secret = create_api_key(organisation_id, "Bench")
        db.session.commit()
    return {"Authorization": f"Bearer {secret}"}
