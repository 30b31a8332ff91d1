"""The orders that a list offers, by name."""

from __future__ import annotations

from webapp.records.beside import BesideOrder
from webapp.records.entities import Entity
from webapp.records.order import Order


def order_of(entity: Entity, sort: str, direction: str = "") -> Order:
    """The order of this name; texts ascend, times and numbers beside descend, unless `direction` says otherwise.

    Raises KeyError.
    """
    if sort in entity.beside:
        return BesideOrder(sort, (direction or "desc") == "desc", entity)
    column = entity.sorts[sort]
    natural = "desc" if column in {None, "updated_at"} else "asc"
    return Order(column, (direction or natural) == "desc")
