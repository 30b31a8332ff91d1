"""How long does a list of millions of records take to answer: every order, deep pages, filters and searches?

Contacts are made by SQL on embedded servers of this bench's own, in one organisation of two sizes. Each page is asked
for whole, through the app, as the app's role under the row-level policy. Beside it stands what PostgreSQL takes
to answer a filter by reading all rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import psycopg
from flask import Flask
from flask.testing import FlaskClient

from bench.live_bench import percentile
from bench.support import empty_app, print_figures
from webapp.config import Settings

SIZES = (1_000_000, 5_000_000)
CHUNK = 250_000
IMPORTS = 10
WARM_ROUNDS, ROUNDS = 3, 20
SPAN = timedelta(days=200)
"""The contacts came over this time, evenly."""

# Every number is drawn by a multiplication that visits all residues, so that neighbours in one order are strangers in
# every other, as they are in real files.
ADD_CONTACTS = """
    INSERT INTO contacts (organisation_id, id, email, email_key, first_name, last_name, phone, company, job_title, city,
                          country, tags, owner_id, attributes, bulk_action_id, created_at, updated_at)
    SELECT %(organisation_id)s, uuidv7(created_at - now()), email, email, first_name, last_name, phone, company,
           'Buyer', city, 'Germany', tags, owner_id, attributes, bulk_action_id, created_at,
           created_at + (now() - created_at) * (n * 6007 %% 10007) / 10007.0
    FROM (
        SELECT n,
            now() - %(span)s * (1 - n / %(count)s::float) AS created_at,
            lower(first) || '.' || lower(last) || n || '@example.com' AS email, first AS first_name, last AS last_name,
            CASE WHEN n %% 5 < 3 THEN '+4930' || lpad(n::text, 8, '0') END AS phone,
            'Company ' || n * 7919 %% 200003 AS company,
            CASE WHEN n %% 100000 = 7 THEN 'Ulm'
                 ELSE (ARRAY['London', 'Berlin', 'Paris', 'Madrid', 'Oslo', 'Porto', 'Graz', 'Lyon'])
                     [1 + n * 7907 %% 10007 %% 8]
            END AS city,
            CASE WHEN n %% 5000 = 3 THEN ARRAY['customer', 'vip'] WHEN n %% 2 = 0 THEN ARRAY['customer']
                 ELSE ARRAY[]::text[] END AS tags,
            CASE WHEN n %% 1000 = 1 THEN %(rare_owner)s::uuid WHEN n %% 3 = 0 THEN %(owner)s::uuid END AS owner_id,
            CASE WHEN n %% 10000 = 9 THEN '{"Plan": "Enterprise"}'::jsonb WHEN n %% 4 = 1 THEN '{"Plan": "Free"}'
                 ELSE '{}' END AS attributes,
            (%(imports)s::uuid[])[1 + n * 10 / (%(count)s + 1)] AS bulk_action_id
        FROM (
            SELECT n,
                (ARRAY['Ada', 'Alan', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Radia', 'Tim'])[1 + n * 31 %% 8] || ''
                    AS first,
                'Name' || n * 104729 %% 999983 AS last
            FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        ) AS drawn
    ) AS made
"""
ADD_VISITORS = """
    INSERT INTO known_visitors (organisation_id, visitor_key, first_seen_at, last_seen_at, pageview_count)
    SELECT organisation_id, email_key, now(), now(), 3 FROM contacts WHERE organisation_id = %s AND phone LIKE '%%77'
"""
COUNT_VISITORS = """
    INSERT INTO known_visitor_counts (organisation_id, kind, visitor_count)
    SELECT organisation_id, 'email', count(*) FROM known_visitors WHERE organisation_id = %s GROUP BY 1
"""
SCAN = "SELECT * FROM contacts WHERE organisation_id = %s AND lower(city) = 'ulm' ORDER BY id DESC LIMIT 50"


class Bench:
    """Servers, the app, and somebody who is signed in."""

    def __init__(self, settings: Settings, app: Flask) -> None:
        self.settings, self.app = settings, app
        self.organisation_id, self.client, self.owner = _sign_in(app)
        self.rare_owner = _member(app, self.organisation_id, "rare")[0]
        self.imports = [UUID(int=number, version=4) for number in range(1, IMPORTS + 1)]
        self.count = 0

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.settings.database_url, autocommit=True)

    def fill(self, count: int) -> None:
        """Replace the contacts by this many."""
        self.count = count
        values = {
            "organisation_id": self.organisation_id,
            "count": count,
            "span": SPAN,
            "owner": self.owner,
            "rare_owner": self.rare_owner,
            "imports": self.imports,
        }
        with self.connect() as connection:
            connection.execute("TRUNCATE contacts, contact_tags, known_visitors, known_visitor_counts")
            for first in range(1, count + 1, CHUNK):
                connection.execute(ADD_CONTACTS, {**values, "first": first, "last": min(count, first + CHUNK - 1)})
            for statement in (ADD_VISITORS, COUNT_VISITORS):
                connection.execute(statement, [self.organisation_id])
            connection.execute("VACUUM ANALYZE contacts, contact_tags, known_visitors")

    def questions(self) -> dict[str, str]:
        """The addresses that are asked for, by what they are about."""
        now, middle = datetime.now(UTC), self.count // 2
        day = f"{now - SPAN / 2:%Y-%m-%d}"
        last_day = f"{now:%Y-%m-%d}"
        first = (now - SPAN + timedelta(days=1)).date().isoformat()
        asked: dict[str, dict[str, Any]] = {
            "newest": {},
            "by name": {"sort": "name"},
            "by e-mail": {"sort": "email"},
            "by company, descending": {"sort": "company", "direction": "desc"},
            "by change": {"sort": "updated"},
            "tag, common": {"tag": "customer"},
            "tag, common, by name": {"tag": "customer", "sort": "name"},
            "tag, rare": {"tag": "vip"},
            "tags, both": {"tag": ["customer", "vip"], "sort": "company"},
            "owner, common": {"where": f"owner_id:is:{self.owner}"},
            "owner, rare, by name": {"where": f"owner_id:is:{self.rare_owner}", "sort": "name"},
            "phone": {"where": f"phone:is:+4930{middle - middle % 5:08}"},
            "e-mail": {"where": "email:is:nobody@example.com"},
            "city, common": {"where": "city:is:Berlin"},
            "city, common, by name": {"where": "city:is:Berlin", "sort": "name"},
            "city, rare": {"where": "city:is:Ulm"},
            "city, rare, by name": {"where": "city:is:Ulm", "sort": "name"},
            "city contains": {"where": "city:contains:don"},
            "company begins": {"where": "company:begins:Company 1999"},
            "company begins, common": {"where": "company:begins:company 1"},
            "last name is": {"where": "last_name:is:Name4711"},
            "q, common": {"q": "ada"},
            "q, common, by e-mail": {"q": "ada", "sort": "email"},
            "q, some": {"q": "ada name12"},
            "q, rare": {"q": "grace.name4711"},
            "q, absent": {"q": "zzzz"},
            "q, company": {"q": "company 777"},
            "import": {"import": str(self.imports[4])},
            "import, by company": {"import": str(self.imports[4]), "sort": "company"},
            "created on a day": {"created_from": day, "created_to": day},
            "created on a day, by name": {"created_from": day, "created_to": day, "sort": "name"},
            "created at first, by name": {"created_to": first, "sort": "name"},
            "changed today": {"updated_from": last_day},
            "changed on a day, by change": {"updated_from": day, "updated_to": day, "sort": "updated"},
            "seen": {"seen": "yes"},
            "not seen, by name": {"seen": "no", "sort": "name"},
            "own attribute, common": {"where": "attributes.Plan:is:Free"},
            "own attribute, rare": {"where": "attributes.Plan:is:Enterprise"},
            "tag, city and seen": {"tag": "customer", "where": "city:is:Berlin", "seen": "yes"},
            "q and tag": {"q": "ada", "tag": "vip"},
            "import, day and city": {"import": str(self.imports[4]), "created_from": day, "where": "city:is:Ulm"},
        }
        return {name: "/contacts?" + urlencode(arguments, doseq=True) for name, arguments in asked.items()}

    def milliseconds(self, url: str) -> list[float]:
        """How long each of some whole pages took, the quickest first."""
        for _ in range(WARM_ROUNDS):
            self._get(url)
        return sorted(self._get(url) for _ in range(ROUNDS))

    def _get(self, url: str) -> float:
        began = time.perf_counter()
        answer = self.client.get(url)
        took = (time.perf_counter() - began) * 1000
        if answer.status_code != 200:
            raise RuntimeError(f"{url} answered {answer.status}.")
        return took

    def deep_page(self) -> str:
        """The address of a page in the middle of the list by name."""
        from webapp.lib.pagination import encode_cursor

        query = "SELECT name_key, id FROM contacts WHERE name_key >= 'donald' ORDER BY name_key, id LIMIT 1"
        with self.connect() as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return "/contacts?" + urlencode({"sort": "name", "cursor": encode_cursor(*row)})

    def scan_milliseconds(self) -> float:
        """A rare city by reading all rows, on as many cores as PostgreSQL likes."""
        with self.connect() as connection:
            connection.execute("SET enable_indexscan = off")
            connection.execute("SET enable_bitmapscan = off")
            times = []
            for _ in range(3):
                began = time.perf_counter()
                connection.execute(SCAN, [self.organisation_id]).fetchall()
                times.append((time.perf_counter() - began) * 1000)
        return min(times)


def _sign_in(app: Flask) -> tuple[UUID, FlaskClient, UUID]:
    from webapp.accounts.models import Organisation
    from webapp.extensions import db

    with app.app_context():
        organisation = Organisation(slug="bench", name="Bench")
        db.session.add(organisation)
        db.session.commit()
        organisation_id: UUID = organisation.id
    user_id, cookie_id = _member(app, organisation_id, "owner")
    client = app.test_client()
    with client.session_transaction() as session:
        session["_user_id"], session["_fresh"] = cookie_id, True
    return organisation_id, client, user_id


def _member(app: Flask, organisation_id: UUID, name: str) -> tuple[UUID, str]:
    from webapp.accounts.models import Membership, Role, User
    from webapp.extensions import db, tenant

    with app.app_context(), tenant(organisation_id):
        user = User(issuer="https://issuer.example", subject=name, email=f"{name}@example.com", name=name)
        db.session.add(user)
        db.session.flush()
        db.session.add(Membership(organisation_id=organisation_id, user_id=user.id, role=Role.OWNER))
        user_id, cookie_id = user.id, user.get_id()
        db.session.commit()
    return user_id, cookie_id


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """p50 and p95 of each question, and the slowest."""
    bench.fill(count)
    figures: dict[str, Any] = {"contacts": count}
    times = {name: bench.milliseconds(url) for name, url in bench.questions().items()}
    times["deep page, by name"] = bench.milliseconds(bench.deep_page())
    for name, some in times.items():
        figures[name] = f"p50 {statistics.median(some):.1f} ms, p95 {percentile(some, 0.95):.1f} ms"
    p95 = {name: percentile(some, 0.95) for name, some in times.items()}
    slowest = max(p95, key=lambda name: p95[name])
    every = sorted(ms for some in times.values() for ms in some)
    figures["all p95 ms"] = round(percentile(every, 0.95), 1)
    figures["slowest p95 ms"] = f"{p95[slowest]:.1f} ({slowest})"
    figures["reference: all rows read, ms"] = round(bench.scan_milliseconds(), 1)
    return figures


@contextmanager
def running() -> Iterator[Bench]:
    """The app as a web process has it, on servers of its own."""
    from webapp.settling import settle

    with empty_app() as (app, settings, _):
        settle(app)
        yield Bench(settings, app)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, action="append", help="how many contacts (several times for several sizes)")
    options = parser.parse_args()
    with running() as bench:
        for count in options.rows or SIZES:
            print_figures("records", measure(bench, count))


if __name__ == "__main__":
    main()
