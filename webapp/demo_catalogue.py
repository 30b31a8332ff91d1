"""The demo organisation's products. One bag that its website sells is missing: what Footfall then tells can be seen."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple


class Article(NamedTuple):
    """A product as the shop's catalogue has it."""

    sku: str
    name: str
    description: str
    price: Decimal
    tags: tuple[str, ...]


CURRENCY = "GBP"
CATALOGUE = (
    Article(
        "HC-BREAKWATER-250",
        "Breakwater, 250 g",
        "The house espresso: dark chocolate, dried fig, and enough body to stand up to milk.",
        Decimal("9.50"),
        ("coffee", "espresso"),
    ),
    Article(
        "HC-LOWTIDE-250",
        "Low Tide, 250 g",
        "A washed Ethiopian for the filter. Bergamot, apricot, and very little hurry.",
        Decimal("11.00"),
        ("coffee", "filter"),
    ),
    Article("HC-BREAKWATER-1000", "Breakwater, 1 kg", "The house espresso for cafés.", Decimal("32.00"), ("coffee",)),
    Article("HC-MUG-BLUE", "Quay mug, blue", "Stoneware, holds 300 ml.", Decimal("14.00"), ("kitchen",)),
    Article("HC-FILTER-100", "Filter papers, 100", "Size 2, unbleached.", Decimal("5.50"), ("kitchen",)),
    Article("HC-GRINDER", "Hand grinder", "Steel burrs, lasts for decades.", Decimal("89.00"), ("kitchen", "gift")),
)
