"""Deleting asks for the number of records, so that nobody deletes more than is meant."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from webapp.bulk_actions.models import Verb
from webapp.bulk_actions.verbs.selection import Selection, check_selection, count_selected
from webapp.bulk_actions.verbs.service import Order
from webapp.lib.clock import utc_now

EVERYTHING = Selection(arguments={})


class OtherNumberError(ValueError):
    """Another number of records was expected than there are; `count` says how many there are."""

    def __init__(self, order: Order, count: int) -> None:
        super().__init__(f"Type the number {count:,} to delete so many {order.entity.noun(count)}.")
        self.count = count


def confirmed(order: Order, organisation_id: UUID, number: int | None) -> Order:
    """The order, for so many records at most.

    Raises OtherNumberError unless it is about so many; SelectionError or FilterError as usual.
    """
    selection = order.selection or EVERYTHING
    check_selection(selection, order.entity, of_deleted=order.verb is Verb.RESTORE)
    count = count_selected(order.entity, organisation_id, selection, order.selected_at or utc_now())
    if number != count:
        raise OtherNumberError(order, count)
    return replace(order, confirmed_count=count)
