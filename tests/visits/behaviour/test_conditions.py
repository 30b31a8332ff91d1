"""Behaviours as texts: read, written back, said in plain words, and refused in plain words when they are none."""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.visits.behaviour.conditions import (
    MOST_TIMES,
    OPERATORS,
    PAGE_LIMIT,
    BadBehaviourError,
    Behaviour,
    Days,
    What,
    read_behaviour,
)
from webapp.visits.behaviour.links import behaviour_of, behaviour_of_value, visits_of
from webapp.visits.behaviour.spans import deed_of
from webapp.visits.behaviour.words import words_of
from webapp.visits.periods import MOST_DAYS, make_period
from webapp.visits.questions import Filter, Operator

SITE = UUID("0197a000-0000-7000-8000-000000000001")
NAMES = {SITE: "Shop"}
SAID = {
    "14d:page:begins:/pricing": "Visited a page that begins with “/pricing” in the last 14 days",
    "1d:3x:page:is:/a:b": "Visited “/a:b” 3 times or more today",
    "not:30d:page:is:/login": "Has not visited “/login” in the last 30 days (identified or not)",
    "not:ever:2x:event:is:buy": "Has not done “buy” 2 times or more (identified or not)",
    f"2026-01-01..2026-03-31:site={SITE}:event:begins:Sign": (
        "Did an event that begins with “Sign” from 1 Jan 2026 to 31 Mar 2026 on Shop"
    ),
    "2026-01-01..2026-01-01:product:is:SKU-1": "Viewed the product “SKU-1” on 1 Jan 2026",
    "7d:property:contains:Sign-up\x1fplan\x1fpro: x": ("Did “Sign-up” where plan contains “pro: x” in the last 7 days"),
    "90d:anything": "Visited a website in the last 90 days",
    "not:90d:anything": "Has not visited a website in the last 90 days (identified or not)",
}
REFUSED = {
    "": "is no time such as 14d",
    "not:": "is no time such as 14d",
    "page:is:/a": "“page” is no time such as 14d",
    "14d": "does not say what somebody did",
    "14d:paeg:is:/a": "does not say what somebody did, as 14d:page:begins:/pricing does",
    "0d:page:is:/a": f"Choose 1 to {MOST_DAYS:,} days, not 0",
    "9999d:page:is:/a": "not 9,999",
    "-1d:page:is:/a": "is no time",
    "٣d:page:is:/a": "is no time",
    "14d:0x:page:is:/a": "Choose 1 to 10,000 times, not 0",
    "14d:10001x:page:is:/a": "not 10,001",
    "14d:site=5:page:is:/a": "“5” is not the id of a site",
    "14d:page:is:": "Say which page",
    "14d:page:is: ": "Say which page",
    "14d:page:is_not:/a": "“is_not” does not compare a page; it may be is, begins, contains",
    "14d:product:begins:S": "does not compare a product; it may be is",
    "14d:anything:is:x": "“anything” is compared with nothing",
    "14d:property:is:signup": "Say the event, the property's name, and its value",
    "14d:property:is:\x1fplan\x1fpro": "Say the event, the property's name, and its value",
    "14d:page:is:/a\x00": "holds a character that no text can hold",
    "14d:page:is:/\ud800": "holds a character that no text can hold",
    f"14d:page:is:/{'a' * PAGE_LIMIT}": "is too long",
    f"14d:event:is:{'a' * 301}": "is too long: at most 300 characters",
    "2026-02-01..2026-01-01:page:is:/a": "The first day must not come after the last",
    "2026-02-30..2026-03-01:page:is:/a": "Give both days",
    "2026-01-01..:page:is:/a": "Give both days",
    "0001-01-01..0001-01-02:page:is:/a": "Choose days in the years",
}


@pytest.mark.parametrize("text", SAID)
def test_what_is_written_is_read_and_said(text: str) -> None:
    behaviour = read_behaviour(text)
    assert behaviour.as_text() == text
    assert words_of(behaviour, NAMES) == SAID[text]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:30]))
def test_nonsense_is_refused_with_what_to_change(text: str) -> None:
    with pytest.raises(BadBehaviourError, match=REFUSED[text]):
        read_behaviour(text)


@given(st.text(max_size=60) | st.sampled_from([*SAID, *REFUSED]).map(lambda text: text[:-1]))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        behaviour = read_behaviour(text)
    except BadBehaviourError:
        return
    assert read_behaviour(behaviour.as_text()) == behaviour
    assert words_of(behaviour, NAMES)


VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=20)
DAYS = st.one_of(
    st.just(Days()),
    st.integers(1, MOST_DAYS).map(Days),
    st.tuples(st.dates(date(2020, 1, 1), date(2026, 1, 1)), st.dates(date(2026, 1, 1), date(2030, 1, 1))).map(
        lambda pair: Days(first=pair[0], last=pair[1])
    ),
)


@given(st.sampled_from(list(What)), st.data(), DAYS, st.integers(1, MOST_TIMES), st.booleans(), st.booleans())
def test_every_behaviour_is_read_as_it_was_written(
    what: What, data: st.DataObject, days: Days, least: int, is_done: bool, is_on_site: bool
) -> None:
    operator = data.draw(st.sampled_from(OPERATORS[what])) if OPERATORS[what] else None
    value = "\x1f".join(data.draw(VALUES) for _ in range(3)) if what is What.PROPERTY else data.draw(VALUES)
    site_id = SITE if is_on_site else None
    behaviour = Behaviour(what, operator, value if operator else "", days, least, site_id, is_done)
    assert read_behaviour(behaviour.as_text()) == behaviour


@pytest.mark.parametrize(
    ("text", "start", "end", "frozen_end"),
    [
        ("1d:anything", "2026-03-28T23:00", "2026-03-29T22:00", "2026-03-29T10:30"),
        ("2d:anything", "2026-03-27T23:00", "2026-03-29T22:00", "2026-03-29T10:30"),
        ("2026-03-28..2026-03-28:anything", "2026-03-27T23:00", "2026-03-28T23:00", "2026-03-28T23:00"),
        ("2026-03-29..2026-04-30:anything", "2026-03-28T23:00", "2026-03-29T22:00", "2026-03-29T10:30"),
        ("2026-05-01..2026-05-02:anything", "2026-04-30T22:00", "2026-04-30T22:00", "2026-04-30T22:00"),
        ("not:ever:anything", "1971-01-01T00:00", "2026-03-29T22:00", "2026-03-29T10:30"),
    ],
)
def test_days_are_those_of_the_zone_over_a_clock_change(text: str, start: str, end: str, frozen_end: str) -> None:
    moment, zone = datetime(2026, 3, 29, 10, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    deed, frozen = (deed_of(read_behaviour(text), zone, moment, is_frozen=one) for one in (False, True))
    assert [f"{at:%Y-%m-%dT%H:%M}" for at in (deed.start, deed.end, frozen.end)] == [start, end, frozen_end]
    assert deed.behaviour.is_done


def test_who_did_and_who_did_not_are_told_by_one_set_and_other_deeds_by_others() -> None:
    moment, zone = datetime(2026, 3, 29, tzinfo=UTC), ZoneInfo("UTC")
    texts = ["7d:page:is:/a", "8d:page:is:/a", "7d:2x:page:is:/a", "7d:page:begins:/a", f"7d:site={SITE}:page:is:/a"]
    prints = {
        deed_of(read_behaviour(f"{side}{text}"), zone, moment).fingerprint for text in texts for side in ("", "not:")
    }
    assert len(prints) == len(texts)


def test_a_sites_page_and_the_list_of_contacts_lead_to_each_other() -> None:
    now, zone = datetime(2026, 3, 29, tzinfo=UTC), ZoneInfo("UTC")
    week, year = make_period("7d", zone, now), make_period("custom", zone, now, "2026-01-02", "2026-02-03")
    page = (Filter("page", Operator.BEGINS, ("/pricing",)),)
    there = behaviour_of(page, week, SITE)
    assert there is not None
    assert there.as_text() == f"7d:site={SITE}:page:begins:/pricing"
    assert visits_of(there, now.date()) == {"range": "7d", "where": ["page:begins:/pricing"]}
    other = behaviour_of_value("event", "buy", year, SITE)
    assert other is not None
    assert other.as_text() == f"2026-01-02..2026-02-03:site={SITE}:event:is:buy"
    assert visits_of(other, now.date()) == {
        "range": "custom", "from": "2026-01-02", "to": "2026-02-03", "where": ["event:is:buy"]
    }  # fmt: skip
    assert visits_of(read_behaviour("14d:anything"), now.date()) == {
        "range": "custom", "from": "2026-03-16", "to": "2026-03-29", "where": []
    }  # fmt: skip
    for field, operator, values in (
        ("country", Operator.IS, ("DE",)),
        ("page", Operator.IS_NOT, ("/a",)),
        ("page", Operator.IS, ("/a", "/b")),
        ("event", Operator.IS, ("",)),
    ):
        assert behaviour_of((Filter(field, operator, values),), week, SITE) is None
    assert behaviour_of((*page, *page), week, SITE) is None
    assert behaviour_of((), week, SITE) is None
