"""What was seen before and after a page is what following each visit says."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from random import Random
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.visits.raw.made_rows import (
    DAYS,
    PAGES,
    START,
    Made,
    Row,
    ask_plainly,
    make_filters,
    make_rows,
    passes,
    write_rows,
)
from tests.visits.support import add_site
from webapp.extensions import tenant
from webapp.visits.backlog import Kind
from webapp.visits.questions import Filter, Operator, Question
from webapp.visits.raw.flows import Came, Flow, FlowStep, flow

CENTRES = (None, Filter("page", Operator.IS, (PAGES[1],)), Filter("page", Operator.CONTAINS, ("pricing",)))
STEPS = 3
ALL = 1000


@pytest.fixture(params=range(4))
def asked(request: pytest.FixtureRequest, app_context: APIFlask, organisation_id: UUID) -> tuple[Made, Question]:
    random = Random(request.param)
    site = add_site(app_context, organisation_id)
    made = make_rows(random, 150)
    reload_some(made, random)
    join_some(made, random)
    write_rows(organisation_id, site.id, made, random)
    return made, Question(organisation_id, (site.id,), START, START + timedelta(days=DAYS))


def reload_some(made: Made, random: Random) -> None:
    """The same page again, a second later."""
    views = [row for row in made.activity if row["kind"] == Kind.PAGEVIEW]
    made.activity += [{**row, "visited_ms": row["visited_ms"] + 1000} for row in views if random.random() < 0.3]


def join_some(made: Made, random: Random) -> None:
    """Rows that bear the number of a visit that went into another one since, some of them in two turns."""
    for visit in {row["visit"] for row in made.visits if random.random() < 0.3}:
        rows = [row for row in made.activity if row["visit"] == visit]
        joins = [(random.getrandbits(62), visit)]
        joins += [(random.getrandbits(62), joins[0][0])] if random.random() < 0.5 else []
        for row in rows:
            row["visit"] = random.choice([visit, *(number for number, _ in joins)])
        blank = next(row for row in made.visits if row["visit"] == visit)
        made.visits += [{**blank, "visit": number, "sign": 0, "joined": into} for number, into in joins]


def test_a_flow_follows_each_visit_from_where_it_first_saw_the_page(asked: tuple[Made, Question]) -> None:
    made, question = asked
    random = Random(5)
    with tenant(question.organisation_id):
        for centre in CENTRES:
            assert flow(question, centre, STEPS, ALL) == follow(made, question, centre), centre
            for _ in range(4):
                filtered = replace(question, filters=make_filters(random))
                assert flow(filtered, centre, STEPS, ALL) == follow(made, filtered, centre), (centre, filtered.filters)
            cut = replace(question, start=START + timedelta(days=2, hours=3), end=START + timedelta(days=5))
            assert flow(cut, centre, STEPS, ALL) == follow(made, cut, centre)


def test_fewer_steps_are_the_nearest(asked: tuple[Made, Question]) -> None:
    question = asked[1]
    with tenant(question.organisation_id):
        for centre in CENTRES:
            near, far = flow(question, centre, 1, ALL), flow(question, centre, STEPS, ALL)
    assert (near.before, near.after) == (far.before[:1], far.after[:1])
    assert near.visit_count == far.visit_count == far.before[0].visit_count == far.after[0].visit_count
    for step in range(STEPS - 1):
        assert far.after[step + 1].visit_count == far.after[step].page_count > 0


def test_what_a_list_leaves_out_is_counted_together(asked: tuple[Made, Question]) -> None:
    question = asked[1]
    with tenant(question.organisation_id):
        whole, short = flow(question, None, STEPS, ALL), flow(question, None, STEPS, 2)
    for listed, cut in zip((*whole.before, *whole.after), (*short.before, *short.after), strict=True):
        assert cut.pages == listed.pages[:2]
        assert cut.entered == listed.entered[:2]
        assert (cut.page_count, cut.entered_count) == (listed.page_count, listed.entered_count)
    assert any(step.other_count for step in short.after)


def test_a_flow_of_four_steps_is_none(asked: tuple[Made, Question]) -> None:
    with pytest.raises(ValueError, match="1 to 3"):
        flow(asked[1], None, 4, ALL)


def follow(made: Made, question: Question, centre: Filter | None) -> Flow:
    """The plain way: each visit's pages in their order, one visit after another."""
    known = numbers(made)
    whole = Made([{**row, "visit": known.get(row["visit"], row["visit"])} for row in made.activity], made.visits)
    visits = net(ask_plainly(whole, question).visits)
    seen: dict[int, list[Row]] = defaultdict(list)
    for row in whole.activity:
        if row["kind"] == Kind.PAGEVIEW and row["visit"] in visits:
            seen[row["visit"]].append(row)
    counts: Counter[tuple[str, int, str]] = Counter()
    for visit, rows in seen.items():
        count_visit(counts, visits[visit], sorted(rows, key=lambda row: (row["visited_ms"], row["page"])), centre)
    return Flow(
        counts["whole", 0, ""],
        tuple(
            FlowStep(came(counts, "before", step), entered=came(counts, "entered", step))
            for step in range(1, STEPS + 1)
        ),
        tuple(
            FlowStep(came(counts, "after", step), left_count=counts["left", step, ""]) for step in range(1, STEPS + 1)
        ),
    )


def numbers(made: Made) -> dict[int, int]:
    """The visit in which each number ended."""
    into = {row["visit"]: row["joined"] for row in made.visits if row["joined"]}
    return {number: into.get(joined, joined) for number, joined in into.items()}


def net(changes: list[Row]) -> dict[int, str]:
    """The referrer of each visit that was not taken back."""
    signs: Counter[tuple[int, str]] = Counter()
    for row in changes:
        signs[row["visit"], row["referrer"]] += row["sign"]
    return {visit: referrer for (visit, referrer), sign in signs.items() if sign > 0}


def count_visit(counts: Counter[tuple[str, int, str]], referrer: str, rows: list[Row], centre: Filter | None) -> None:
    rows = [next(again) for _, again in groupby(rows, key=lambda row: row["page"])]
    pages = [row["page"] for row in rows]
    places = [-1] if centre is None else [place for place, row in enumerate(rows) if passes(row, centre)]
    if not places:
        return
    before, after = pages[: max(0, places[0])][::-1], pages[places[0] + 1 :]
    counts["whole", 0, ""] += 1
    counts["entered", len(before) + 1, referrer] += 1
    counts["left", len(after) + 1, ""] += 1
    for what, path in (("before", before), ("after", after)):
        for step, page in enumerate(path, start=1):
            counts[what, step, page] += 1


def came(counts: Counter[tuple[str, int, str]], what: str, step: int) -> tuple[Came, ...]:
    found = [Came(value, count) for (kind, at, value), count in counts.items() if (kind, at) == (what, step)]
    return tuple(sorted(found, key=lambda one: (-one.visit_count, one.value)))
