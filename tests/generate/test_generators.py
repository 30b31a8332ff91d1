"""The generators: the same seed gives the same bytes, keys are unique, memory does not grow."""

from __future__ import annotations

import csv
import io
import json
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TextIO
from uuid import UUID

import pytest

from tests.visits.support import take_beacon
from webapp.generate import beacons, contacts, products

Write = Callable[[TextIO, int, int], None]
END = datetime(2026, 6, 1, tzinfo=UTC)
write_beacons: Write = partial(beacons.write, end=END)
WRITERS: list[Write] = [contacts.write, products.write, write_beacons]
WRITER_NAMES = ["contacts", "products", "beacons"]
every_generator = pytest.mark.parametrize("write", WRITERS, ids=WRITER_NAMES)


class Discard(io.StringIO):
    """Takes any amount of text and keeps only its length and the longest piece."""

    def __init__(self) -> None:
        super().__init__()
        self.length = self.longest = 0

    def write(self, text: str) -> int:
        self.length += len(text)
        self.longest = max(self.longest, len(text))
        return len(text)


def generated(write: Write, count: int, seed: int = 1) -> str:
    file = io.StringIO()
    write(file, count, seed)
    return file.getvalue()


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), strict=True))


@every_generator
def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(write: Write) -> None:
    assert generated(write, 5_000) == generated(write, 5_000)
    assert generated(write, 5_000, seed=2) != generated(write, 5_000)


@every_generator
@pytest.mark.parametrize("count", [0, 1, 4_095, 4_096, 4_097])
def test_as_many_rows_come_out_as_were_asked_for(write: Write, count: int) -> None:
    header_lines = 0 if write is write_beacons else 1
    assert len(generated(write, count).splitlines()) == count + header_lines


@every_generator
def test_memory_does_not_grow_with_the_count(write: Write) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        write(Discard(), count, 1)
        bytes_at_most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return bytes_at_most

    assert peak(40_000) < 1.2 * peak(10_000)


@every_generator
def test_rows_are_written_in_blocks_and_never_all_at_once(write: Write) -> None:
    file = Discard()
    write(file, 50_000, 1)
    assert file.longest < file.length / 10


def test_every_contact_has_an_email_address_of_their_own() -> None:
    rows = rows_of(generated(contacts.write, 20_000))
    assert len({row["Email"].lower() for row in rows}) == 20_000
    assert all(row["Email"].isascii() and row["Email"].count("@") == 1 and " " not in row["Email"] for row in rows)


def test_contacts_have_all_eight_cells_with_commas_quotes_accents_and_blanks_among_them() -> None:
    text = generated(contacts.write, 20_000)
    rows = rows_of(text)
    assert text.startswith("Email,First name,Last name,Phone,Company,Job title,City,Country\n")
    assert {len(row) for row in csv.reader(io.StringIO(text), strict=True)} == {8}
    companies = {row["Company"] for row in rows}
    assert {"Harbour, Rope & Sons", 'The "Old Mill" Bakery', ""} <= companies
    assert any(not row["First name"].isascii() for row in rows)
    assert 0.05 < sum(not row["Phone"] for row in rows) / 20_000 < 0.3


def test_a_contacts_row_is_about_as_long_as_in_real_files() -> None:
    assert 100 <= len(generated(contacts.write, 20_000).encode()) / 20_000 <= 130


def test_every_product_has_a_sku_of_its_own_and_a_price() -> None:
    text = generated(products.write, 20_000)
    rows = rows_of(text)
    assert text.startswith("SKU,Name,Description,Price,Currency,Active\n")
    assert len({row["SKU"] for row in rows}) == 20_000
    assert all(float(row["Price"]) > 0 and len(row["Currency"]) == 3 for row in rows)
    assert {row["Active"] for row in rows} == {"true", "false"}
    assert any('"' in row["Description"] for row in rows)
    assert any("," in row["Description"] for row in rows)


def beacons_of(count: int, end: datetime = END, start: datetime | None = None) -> list[dict[str, str]]:
    file = io.StringIO()
    beacons.write(file, count, 1, site_key='key "of" alice', end=end, start=start)
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_beacon_ids_are_unique_and_in_keeping_with_the_time_of_the_visit() -> None:
    rows = beacons_of(20_000)
    assert len({row["id"] for row in rows}) == 20_000
    for row in rows:
        beacon_id = UUID(row["id"])
        seen_ms = round(datetime.fromisoformat(row["visitedAt"]).timestamp() * 1000)
        assert (beacon_id.version, beacon_id.variant, beacon_id.int >> 80) == (7, "specified in RFC 4122", seen_ms)
        assert UUID(row["identifier"]).version == 4


def test_beacons_carry_the_site_key_and_leave_the_correction_of_clocks_out() -> None:
    (row,) = beacons_of(1)
    assert set(row) == {"id", "identifier", "siteKey", "pageUrl", "visitedAt", "referrer", "screen"}
    assert row["siteKey"] == 'key "of" alice'


def test_beacons_fill_the_given_time_in_order_and_nights_are_quiet() -> None:
    end = datetime(2026, 3, 5, 12, 7, tzinfo=UTC)
    start = end - timedelta(days=2)
    times = [datetime.fromisoformat(row["visitedAt"]) for row in beacons_of(20_000, end, start)]
    by_hour = Counter(time.hour for time in times)
    assert times == sorted(times)
    assert start <= times[0] < start + timedelta(minutes=15)
    assert end - timedelta(minutes=15) < times[-1] < end
    assert by_hour[20] > 5 * by_hour[3]


def test_an_end_that_is_not_after_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="start must be before end"):
        beacons.write(Discard(), 1, start=END, end=END)


@pytest.mark.parametrize("posted_after", [timedelta(), timedelta(hours=23)])
def test_what_is_generated_the_collector_takes_for_a_day(posted_after: timedelta) -> None:
    """Ids carry the moments of the visits, and the collector refuses ids older than two days."""
    end_ms = time.time_ns() // 1_000_000
    posted_ms = end_ms + int(posted_after.total_seconds() * 1000)
    file = io.StringIO()
    beacons.write(file, 2_000, end=datetime.fromtimestamp(end_ms / 1000, UTC))
    for line in file.getvalue().splitlines():
        assert take_beacon(line.encode(), posted_ms).visited_ms < end_ms


def test_some_pages_are_seen_far_more_often_and_visitors_return() -> None:
    rows = beacons_of(20_000)
    pages = Counter(row["pageUrl"] for row in rows)
    visits_per_visitor = Counter(row["identifier"] for row in rows).values()
    assert len(pages) == 50
    assert pages["https://shop.example/"] > 10 * min(pages.values())
    assert 2_000 < len(visits_per_visitor) <= 4_000
    assert max(visits_per_visitor) > 20
    assert {row["screen"] for row in rows} == set(beacons.SCREENS)
    assert "" in {row["referrer"] for row in rows}


def test_one_visitor_keeps_one_screen() -> None:
    screens: dict[str, set[str]] = {}
    for row in beacons_of(20_000):
        screens.setdefault(row["identifier"], set()).add(row["screen"])
    assert all(len(seen) == 1 for seen in screens.values())
