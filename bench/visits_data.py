"""Two years of raw rows for the visits benchmark, written straight into sealed files.

One month of one site is made at random by DuckDB and sorted as sealing sorts; the other months and sites are that
month, moved in time, with visits, and half of the visitors, of their own. Visitors come again, sources and pages are
few that are frequent and many that are rare.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import duckdb

from webapp.lib.ids import uuid7
from webapp.visits.models import RawKind
from webapp.visits.raw.frames import TIME_COLUMNS
from webapp.visits.raw.layout import FORMAT, month_bounds
from webapp.visits.raw.models import SealedFile, SealedState

MONTHS = 24
DAYS_A_MONTH, DAY_MS = 28, 86_400_000
PAGES = 20_000
PAGES_A_VISIT = 3.4
ORIGIN = "https://shop.example"
PAGE = f"'{ORIGIN}/products/item-' || floor(pow((hash(visit, {{nth}}) % 1000000) / 1000000.0, 3) * {PAGES})::INT"
MAKE_VISITS = """
    CREATE TABLE made AS
    SELECT began_ms, visitor, visit, pages, country, language, device, browser, system, screen, referrer,
        CASE WHEN campaign > 0 THEN 'email' WHEN referrer = '' THEN 'direct' WHEN luck < 0.6 THEN 'organic-search'
            WHEN luck < 0.8 THEN 'organic-social' ELSE 'referral' END AS channel,
        CASE WHEN campaign > 0 THEN 'newsletter' ELSE '' END AS utm_source,
        CASE WHEN campaign > 0 THEN 'email' ELSE '' END AS utm_medium,
        CASE WHEN campaign > 0 THEN 'issue-' || campaign ELSE '' END AS utm_campaign
    FROM (
        SELECT (random() * $month_ms)::BIGINT AS began_ms, (hash(who) >> 2)::BIGINT AS visitor,
            (hash(n, 7) >> 2)::BIGINT AS visit, 1 + least(60, floor(-ln(1 - random()) * $depth))::INT AS pages,
            list_extract(['US','DE','GB','FR','IN','BR','CA','ES','IT','NL','PL','SE','JP','AU','MX','CH','AT','BE',
                'DK','NO','CZ','PT','FI','IE','GR','HU','RO','TR','UA','KR'],
                1 + floor(pow(hash(who, 1) % 1000 / 1000.0, 2) * 30)::INT) AS country,
            list_extract(['en-us','de-de','en-gb','fr-fr','es-es','pt-br','pl','ja','it','nl'],
                1 + floor(pow(hash(who, 2) % 1000 / 1000.0, 2) * 10)::INT) AS language,
            list_extract(['mobile','desktop','tablet'],
                1 + floor(pow(hash(who, 3) % 1000 / 1000.0, 1.3) * 3)::INT) AS device,
            list_extract(['Chrome','Safari','Firefox','Edge','Samsung Internet','Opera'],
                1 + floor(pow(hash(who, 4) % 1000 / 1000.0, 2) * 6)::INT) AS browser,
            list_extract(['Android','Windows','iOS','macOS','Linux'], 1 + (hash(who, 5) % 5)::INT) AS system,
            (320 + hash(who, 6) % 40 * 40) || 'x' || (640 + hash(who, 6) % 40 * 20) AS screen,
            CASE WHEN random() < 0.45 THEN '' ELSE 'site-' || floor(pow(random(), 3) * 3000)::INT || '.example' END
                AS referrer,
            CASE WHEN random() < 0.08 THEN 1 + floor(random() * 200)::INT ELSE 0 END AS campaign, random() AS luck
        FROM (SELECT n, floor(pow(random(), 2) * $visitors)::BIGINT AS who FROM range($visits) t(n))
    )
"""
MAKE_ACTIVITY = f"""
    CREATE TABLE activity AS
    SELECT began_ms + nth * 40000 + (hash(visit, nth, 1) % 20000)::BIGINT AS visited_ms, 0::UTINYINT AS kind, visitor,
        visit, nth = 0 AS is_entry, {PAGE.format(nth="nth")} AS page,
        {
    ", ".join(
        f"CASE WHEN nth = 0 THEN {name} ELSE '' END AS {name}"
        for name in ("referrer", "channel", "utm_source", "utm_medium", "utm_campaign")
    )
},
        '' AS utm_term, '' AS utm_content, country, language, device, browser, system, screen, '' AS name,
        '' AS props, 0::BIGINT AS engaged_ms, 0::BIGINT AS scroll
    FROM made, unnest(range(pages)) AS u (nth)
    ORDER BY country, device, browser, system, language, screen, visitor, visited_ms
"""
MAKE_VISIT_ROWS = f"""
    CREATE TABLE visit AS
    SELECT began_ms + (hash(visit, 0, 1) % 20000)::BIGINT AS started_ms, visitor, visit, 1::TINYINT AS sign,
        0::BIGINT AS joined,
        (pages - 1) * 40000::BIGINT AS duration_ms, pages::BIGINT AS pageview_count, 0::BIGINT AS event_count,
        pages = 1 AS is_bounce, {PAGE.format(nth="0")} AS entry_page, {PAGE.format(nth="pages - 1")} AS exit_page,
        referrer, channel, utm_source, utm_medium, utm_campaign, '' AS utm_term, '' AS utm_content,
        country, language, device, browser, system, screen
    FROM made ORDER BY country, device, browser, system, language, screen, visitor, started_ms
"""
COPY = """
    COPY (
        SELECT * REPLACE (
            {time} + {first_ms} AS {time}, xor(visit, {mark}) AS visit,
            CASE WHEN visitor & 1 = 1 THEN xor(visitor, {visitor_mark}) ELSE visitor END AS visitor
        ) FROM {kind} WHERE {time} < {passed_ms}
    ) TO '{path}' ({format})
"""


@dataclass(frozen=True)
class Template:
    """One site's month, in DuckDB."""

    database: duckdb.DuckDBPyConnection


def make_template(pageviews_a_month: int) -> Template:
    """A month of one site with about so many pageviews."""
    database = duckdb.connect(":memory:", config={"memory_limit": "6GB"})
    visits = round(pageviews_a_month / PAGES_A_VISIT)
    values = {
        "month_ms": DAYS_A_MONTH * DAY_MS - 3_600_000,
        "depth": 3.0,
        "visits": visits,
        "visitors": visits * 3 // 5,
    }
    database.execute("SELECT setseed(0.5)")
    database.execute(MAKE_VISITS, values)
    database.execute(MAKE_ACTIVITY)
    database.execute(MAKE_VISIT_ROWS)
    return Template(database)


def write_site(
    template: Template, organisation_id: UUID, site_id: UUID, number: int, months: list[date], store: Path
) -> Iterator[SealedFile]:
    """Two years of a site up to now, as rows of the files that were written."""
    for index, month in enumerate(months):
        marks = {"mark": (number * MONTHS + index + 1) << 20, "visitor_mark": (index + 1) << 3}
        for kind in RawKind:
            yield _write_file(template, SealedFile(
                organisation_id=organisation_id, site_id=site_id, id=uuid7(), kind=kind, state=SealedState.SEALED,
                month=month, from_chunk=0, to_chunk=0,
            ), marks, store)  # fmt: skip


def _write_file(template: Template, file: SealedFile, marks: dict[str, int], store: Path) -> SealedFile:
    first_ms, _ = month_bounds(file.month)
    passed_ms = min(DAYS_A_MONTH * DAY_MS, round(time.time() * 1000) - first_ms)
    path = store / file.key
    path.parent.mkdir(parents=True, exist_ok=True)
    of = {"time": TIME_COLUMNS[file.kind], "kind": file.kind.value, "path": path, "format": FORMAT, **marks}
    found = template.database.execute(COPY.format(first_ms=first_ms, passed_ms=passed_ms, **of)).fetchone()
    file.row_count, file.byte_count = found[0] if found else 0, path.stat().st_size
    file.from_at, file.to_at = _moment(first_ms), _moment(first_ms + passed_ms - 1)
    return file


def last_months(today: date) -> list[date]:
    """The last two years' months, ending with the present one."""
    last = today.year * 12 + today.month - 1
    return [date(number // 12, number % 12 + 1, 1) for number in range(last - MONTHS + 1, last + 1)]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def seconds_since(began: float) -> str:
    return f"{time.perf_counter() - began:.0f} s"
