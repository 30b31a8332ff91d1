"""Products as CSV, as a shop system exports them."""

from __future__ import annotations

import random
from typing import TextIO

from webapp.generate.blocks import csv_cell, number_blocks, seeded

HEADER = "SKU,Name,Description,Price,Currency,Active\n"

KINDS = (
    ("Espresso Cup", "CUP"), ("Pour-over Kettle", "KET"), ("Burr Grinder", "GRI"), ("Filter Papers", "FIL"),
    ("House Blend", "BLN"), ("Café Crème Beans", "BEA"), ("Cold Brew Carafe", "CAR"), ("Oat Drink", "OAT"),
    ("Travel Mug", "MUG"), ("Barista Apron", "APR"), ("Milk Jug", "JUG"), ("Tamper", "TAM"),
)  # fmt: skip
STYLES = (
    "Harbour", "Lighthouse", "Driftwood", "Midnight", "Café", "Señorita", "Nordic", "Copper", "Slate", "Heirloom",
    "Studio", "Classic", "Tidal", "Größe L", "Petite", "Everyday",
)  # fmt: skip
DETAILS = (
    "Made in small batches.", "Dishwasher safe, microwave safe.", 'Our customers call it "the good one".',
    "Fair trade, organic, roasted on Tuesdays.", "Holds 350 ml.", "Holds 12 oz, or one very long morning.", "",
    "Spare parts are available for ten years.", 'Fits 9" shelves.', "Comes in a gift box.",
)  # fmt: skip
CURRENCIES = ("EUR", "EUR", "EUR", "GBP", "GBP", "USD", "CHF", "SEK")
KIND_BITS = 12
CENTS = ("00", "50", "90", "95", "99", "49", "25", "75")


def write(file: TextIO, count: int, seed: int = 1) -> None:
    """Write a header and `count` products, each with a SKU of its own."""
    choices = seeded("products", seed)
    kinds = [_kind(choices) for _ in range(1 << KIND_BITS)]
    file.write(HEADER)
    for first, numbers in number_blocks(count, seed):
        file.write("".join([_row(index, n, kinds) for index, n in enumerate(numbers, first)]))


def _row(index: int, n: int, kinds: list[tuple[str, str, str]]) -> str:
    """A row from a random number's bits; the index in the SKU is what makes it unique."""
    code, name, description = kinds[n & 0xFFF]
    price = f"{2 + (n >> 12 & 0x7F)}.{CENTS[n >> 19 & 7]}"
    active = "false" if n >> 25 & 0xF == 0 else "true"
    return f"{code}-{index:07d},{name} {n >> 32 & 0x3FF},{description},{price},{CURRENCIES[n >> 22 & 7]},{active}\n"


def _kind(choices: random.Random) -> tuple[str, str, str]:
    """A SKU's first letters, a name to be numbered, and the cell of the description."""
    noun, code = choices.choice(KINDS)
    style, detail, more = choices.choice(STYLES), choices.choice(DETAILS), choices.choice(DETAILS)
    return code, f"{style} {noun}", csv_cell(f"{detail} {more}".strip())
