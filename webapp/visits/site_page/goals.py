"""How many visitors did what the site wants of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from webapp.visits import answers
from webapp.visits.questions import PAGE, Figures, Filter, Operator, Question
from webapp.visits.site_page.choice import Choice
from webapp.visits.site_page.filters import WORDS, with_origins
from webapp.visits.site_page.limits import is_narrow
from webapp.visits.site_page.lists import toggled
from webapp.visits.site_page.models import Goal

EVENTS_LIMIT = 1_000


@dataclass(frozen=True)
class GoalLine:
    """A goal with the visitors who reached it, and their share of all."""

    goal: Goal
    visitor_count: int
    is_estimate: bool
    conversion: float
    url: str
    is_chosen: bool


def words_of(goal: Goal) -> str:
    """What a visitor has to do: page begins with /orders/."""
    return f"{'page' if goal.field == PAGE else 'event'} {WORDS[goal.operator]} {goal.value}"


def can_convert(choice: Choice) -> bool:
    """Whether reaching a goal can be seen through the choice's filters: of other pages nothing passes one by pages."""
    return not is_narrow(choice.locked) and can_convert_under(choice.filters)


def can_convert_under(filters: Sequence[Filter]) -> bool:
    """The same of any filters."""
    return not any(one.field == PAGE for one in filters)


def list_goal_lines(choice: Choice, goals: Sequence[Goal], total: Figures) -> list[GoalLine]:
    """Each goal's conversion: visitors who did it of all visitors that pass the choice's filters."""
    found = list_reached(choice.question(), goals, choice.site.origins)
    return [_line(choice, goal, total, reached) for goal, reached in zip(goals, found, strict=True)]


def list_reached(question: Question, goals: Sequence[Goal], origins: Sequence[str]) -> list[Figures]:
    """Of each goal the visitors who reached it; `origins` are the site's."""
    events = _events(question) if any(_is_event(goal) for goal in goals) else {}
    return [
        events.get(goal.value, Figures()) if _is_event(goal) else _reached(question, goal, origins) for goal in goals
    ]


def conversion(reached: Figures, total: Figures) -> float:
    """The share of all visitors."""
    return min(1.0, reached.visitor_count / total.visitor_count) if total.visitor_count else 0.0


def _is_event(goal: Goal) -> bool:
    return goal.field == "event" and goal.operator is Operator.IS


def _events(question: Question) -> dict[str, Figures]:
    return {value.value: value.figures for value in answers.breakdown(question, "event", EVENTS_LIMIT)}


def _line(choice: Choice, goal: Goal, total: Figures, reached: Figures) -> GoalLine:
    chosen = Filter(goal.field, goal.operator, (goal.value,)) in choice.filters
    url = choice.with_filters(toggled(choice, goal.field, goal.value, goal.operator)).url()
    return GoalLine(goal, reached.visitor_count, reached.is_estimate, conversion(reached, total), url, chosen)


def _reached(question: Question, goal: Goal, origins: Sequence[str]) -> Figures:
    wanted = with_origins([Filter(goal.field, goal.operator, (goal.value,))], origins)
    return answers.totals(replace(question, filters=(*question.filters, *wanted)))
