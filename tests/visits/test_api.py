"""The API of visits: counting by page and time, and visits from a server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import Person, add_organisation
from tests.visits.support import MISSING, ORIGIN, add_rows, add_site, count_all, counted, make_beacon, make_row, utc
from webapp.accounts.service import create_api_key
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.ids import uuid7


def make_key(app: APIFlask, organisation_id: UUID) -> dict[str, str]:
    """Headers with a new API key of the organisation."""
    with app.app_context(), tenant(organisation_id):
        _, secret = create_api_key(organisation_id, "test")
        db.session.commit()
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def key(app: APIFlask, alice: Person) -> dict[str, str]:
    return make_key(app, alice.organisation_id)


def ask(client: FlaskClient, key: dict[str, str], **query: str) -> TestResponse:
    return client.get("/api/v1/visits", query_string=query, headers=key)


def test_visits_are_counted_by_page_and_bucket(
    app: APIFlask, client: FlaskClient, alice: Person, key: dict[str, str], services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    times = ["2026-11-20T10:05:00", "2026-11-20T10:55:00", "2026-11-20T11:05:00", "2026-11-21T10:05:00"]
    add_rows(services, [make_row(site, utc(at), page_url=f"{ORIGIN}/pricing") for at in times])
    add_rows(services, [make_row(site, utc(times[0]))])
    count_all(app, services)
    span = {"dateFrom": "2026-11-20", "dateTo": "2026-11-21"}
    answer = ask(client, key, aggregation="day", **span)
    assert answer.status_code == 200
    assert answer.json == {
        "data": {
            f"{ORIGIN}/": [{"timeframe": "2026-11-20T00:00:00Z", "visit_count": 1}],
            f"{ORIGIN}/pricing": [
                {"timeframe": "2026-11-20T00:00:00Z", "visit_count": 3},
                {"timeframe": "2026-11-21T00:00:00Z", "visit_count": 1},
            ],
        }
    }
    hours = ask(client, key, aggregation="hour", **span).json["data"][f"{ORIGIN}/pricing"]  # type: ignore[index]
    assert [(point["timeframe"][11:16], point["visit_count"]) for point in hours] == [
        ("10:00", 2),
        ("11:00", 1),
        ("10:00", 1),
    ]
    minutes = ask(client, key, aggregation="minute", dateFrom="2026-11-20T10:00:00Z", dateTo="2026-11-20T10:30:00Z")
    assert minutes.json["data"] == {  # type: ignore[index]
        page: [{"timeframe": "2026-11-20T10:05:00Z", "visit_count": 1}] for page in (f"{ORIGIN}/", f"{ORIGIN}/pricing")
    }
    months = ask(client, key, aggregation="month", **span).json["data"]  # type: ignore[index]
    assert months[f"{ORIGIN}/pricing"] == [{"timeframe": "2026-11-01T00:00:00Z", "visit_count": 4}]
    assert ask(client, key, siteId=str(site.id), **span).json == answer.json


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"aggregation": "week"}, "minute, hour, day, month"),
        ({"aggregation": ""}, "minute, hour, day, month"),
        ({"dateFrom": "yesterday"}, "ISO 8601"),
        ({"dateTo": "2026-13-01"}, "ISO 8601"),
        ({"dateFrom": "2026-02-30"}, "ISO 8601"),
        ({"dateFrom": "2026-11-20", "dateTo": "2026-11-19"}, "before"),
        ({"aggregation": "minute", "dateFrom": "2026-11-01", "dateTo": "2026-11-20"}, "1,500"),
        ({"aggregation": "hour", "dateFrom": "2026-01-01", "dateTo": "2026-11-20"}, "745"),
        ({"aggregation": "day", "dateFrom": "2016-01-01", "dateTo": "2026-11-20"}, "400"),
        ({"aggregation": "month", "dateFrom": "1971-01-01", "dateTo": "8999-12-31"}, "120"),
        ({"aggregation": "month", "dateFrom": "0001-01-01", "dateTo": "9999-12-30"}, "1971 to 8999"),
        ({"dateTo": "9999-12-31"}, "1971 to 8999"),
        ({"dateTo": "0001-01-02"}, "1971 to 8999"),
        ({"dateFrom": "0001-01-01T00:00:00+14:00"}, "ISO 8601"),
        ({"aggregation": "month", "dateFrom": "9999-12-01", "dateTo": "9999-12-02"}, "1971 to 8999"),
        *[
            (
                {"aggregation": width, "dateFrom": "9999-12-31T23:00:00Z", "dateTo": "9999-12-31T23:30:00Z"},
                "1971 to 8999",
            )
            for width in ("minute", "hour")
        ],
        ({"siteId": "nonsense"}, "site"),
    ],
)
def test_what_cannot_be_answered_says_what_is_allowed(
    client: FlaskClient, key: dict[str, str], query: dict[str, str], words: str
) -> None:
    answer = ask(client, key, **query)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert words in answer.json["detail"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("limit", "aggregation"),
    [
        ("api.POINTS_LIMIT", "minute"),
        ("api.POINTS_LIMIT", "hour"),
        ("api.POINTS_LIMIT", "day"),
        ("page_points.ROWS_LIMIT", "day"),
    ],
)
def test_more_than_one_answer_may_hold_is_refused_before_it_is_read(
    app: APIFlask,
    client: FlaskClient,
    alice: Person,
    key: dict[str, str],
    services: Settings,
    monkeypatch: pytest.MonkeyPatch,
    aggregation: str,
    limit: str,
) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, utc("2026-11-20T10:05:00"), page_url=f"{ORIGIN}/{page}") for page in range(5)])
    count_all(app, services)
    span = {"aggregation": aggregation, "dateFrom": "2026-11-20", "dateTo": "2026-11-20"}
    monkeypatch.setattr(f"webapp.visits.{limit}", 5)
    assert len(ask(client, key, **span).json["data"]) == 5  # type: ignore[index]
    monkeypatch.setattr(f"webapp.visits.{limit}", 4)
    answer = ask(client, key, **span)
    assert answer.status_code == 422
    assert "shorter range" in answer.json["detail"]  # type: ignore[index]


@pytest.mark.parametrize("aggregation", ["minute", "hour", "day", "month"])
@pytest.mark.parametrize("day", ["1971-01-01", "8999-12-31"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_first_and_the_last_day_that_can_be_asked_for_are_answered(
    app: APIFlask, client: FlaskClient, aggregation: str, day: str, zone: str
) -> None:
    headers = make_key(app, add_organisation(app, "far", "Far", zone))
    assert ask(client, headers, aggregation=aggregation, dateFrom=day, dateTo=day).json == {"data": {}}
    assert ask(client, headers, aggregation=aggregation, dateTo=day).status_code == 200


def test_without_a_key_nothing_is_told(client: FlaskClient, alice: Person) -> None:
    for response in (client.get("/api/v1/visits"), client.post("/api/v1/visits", json={})):
        assert (response.status_code, response.content_type) == (401, "application/problem+json")


def test_charlie_sees_nothing_of_alices_visits(
    app: APIFlask, client: FlaskClient, alice: Person, charlie: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site)])
    count_all(app, services)
    theirs = make_key(app, charlie.organisation_id)
    assert ask(client, theirs).json == {"data": {}}
    assert ask(client, theirs, siteId=str(site.id)).status_code == 422
    answer = client.post("/api/v1/visits", json=make_beacon(site.site_key), headers=theirs)
    assert (answer.status_code, answer.headers["X-Footfall-Dropped"]) == (403, "unknown-site-key")


def test_a_server_reports_one_visit_or_many(
    app: APIFlask, client: FlaskClient, alice: Person, key: dict[str, str], services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    beacon_id = str(uuid7())
    one = client.post("/api/v1/visits", json=make_beacon(site.site_key, id=beacon_id), headers=key)
    assert (one.status_code, one.json) == (202, {"accepted": 1, "ids": [beacon_id], "dropped": [], "refused": []})
    body: list[dict[str, Any]] = [
        make_beacon(site.site_key, id=beacon_id),
        make_beacon(site.site_key, siteKey=MISSING, visitedAt="2025-01-01T00:00:00Z"),
    ]
    many = client.post("/api/v1/visits", json=body, headers=key)
    assert (many.status_code, (many.json or {})["accepted"]) == (202, 2)
    count_all(app, services)
    assert counted(services) == (2, 2, 2)


def test_of_many_only_the_wrong_ones_are_refused(
    app: APIFlask, client: FlaskClient, alice: Person, key: dict[str, str]
) -> None:
    site = add_site(app, alice.organisation_id)
    body: list[dict[str, Any]] = [
        make_beacon(site.site_key),
        make_beacon(site.site_key, pageUrl="nowhere"),
        make_beacon(site.site_key, identifier=3),
    ]
    many = client.post("/api/v1/visits", json=body, headers=key)
    assert many.status_code == 202
    assert many.json is not None
    assert (many.json["accepted"], many.json["ids"]) == (1, [body[0]["id"]])
    assert [(item["index"], item["reason"]) for item in many.json["refused"]] == [
        (1, "bad-page-url"),
        (2, "wrong-fields"),
    ]


def test_what_a_server_reports_wrongly_is_refused_with_the_reason(
    app: APIFlask, client: FlaskClient, alice: Person, key: dict[str, str], services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    cases: list[tuple[Any, int]] = [
        (make_beacon(site.site_key, pageUrl="x"), 422),
        (make_beacon(f"fs_{uuid4().hex}{'0' * 16}"), 403),
        ([make_beacon(site.site_key, pageUrl="x")], 422),
        ([], 422),
        ([make_beacon(site.site_key)] * 501, 422),
        ("text", 422),
        ([[]], 422),
    ]
    for body, status in cases:
        answer = client.post("/api/v1/visits", json=body, headers=key)
        assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), body
    malformed = client.post("/api/v1/visits", data=b"{", content_type="application/json", headers=key)
    assert (malformed.status_code, malformed.content_type) == (400, "application/problem+json")
    add_site(app, alice.organisation_id, "https://other.example")
    answer = client.post("/api/v1/visits", json=make_beacon("", siteKey=MISSING), headers=key)
    assert (answer.status_code, answer.headers["X-Footfall-Dropped"]) == (422, "missing-site-key")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/plain;charset=UTF-8",
        None,
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "no content type",
    ],
)
def test_json_is_taken_whatever_the_content_type_says(
    app: APIFlask, client: FlaskClient, alice: Person, key: dict[str, str], content_type: str | None
) -> None:
    site = add_site(app, alice.organisation_id)
    for body in (make_beacon(site.site_key), [make_beacon(site.site_key)]):
        data = json.dumps(body).encode()
        answer = client.post("/api/v1/visits", data=data, content_type=content_type, headers=key)
        assert (answer.status_code, answer.json and answer.json["accepted"]) == (202, 1)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"[{", 400, "malformed"),
        (b"[1,]", 400, "malformed"),
        (b"siteKey=fs_1&identifier=x", 400, "malformed"),
        (b'{"identifier":"\xff"}', 400, "malformed"),
        (b"[]", 422, "wrong-count"),
        (b"3", 422, "wrong-fields"),
        (b'[{"identifier":1}]', 422, "wrong-fields"),
        (b'{"junk":"' + b"x" * 65_536 + b'"}', 413, "too-large"),
        (b"[" + b" " * 5 * 1024**2 + b"]", 413, "too-large"),
    ],
)
def test_every_refusal_has_one_shape(
    app: APIFlask,
    client: FlaskClient,
    key: dict[str, str],
    body: bytes,
    status: int,
    reason: str,
    content_type: str | None,
) -> None:
    answer = client.post("/api/v1/visits", data=body, content_type=content_type, headers=key)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.json is not None
    assert answer.headers["X-Footfall-Dropped"] == answer.json["reason"] == reason
    assert answer.json["detail"]


def test_the_description_says_that_text_is_taken_too(client: FlaskClient) -> None:
    content = client.get("/openapi.json").json["paths"]["/api/v1/visits"]["post"]["requestBody"]["content"]  # type: ignore[index]
    assert set(content) == {"application/json", "text/plain"}
    assert len({json.dumps(one) for one in content.values()}) == 1


def test_a_full_stream_asks_the_server_to_come_back(
    app: APIFlask,
    client: FlaskClient,
    alice: Person,
    key: dict[str, str],
    services: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = add_site(app, alice.organisation_id)
    monkeypatch.setitem(app.extensions, "settings", replace(services, beacons_limit=1))
    body = [make_beacon(site.site_key), make_beacon(site.site_key)]
    answer = client.post("/api/v1/visits", json=body, headers=key)
    assert (answer.status_code, answer.headers["X-Footfall-Dropped"]) == (503, "backlog-full")
    assert int(answer.headers["Retry-After"]) > 0
