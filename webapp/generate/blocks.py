"""What the generators share: random numbers by the block, and rows written by the block."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

BLOCK_ROWS = 4_096


def seeded(purpose: str, seed: int) -> random.Random:
    """Random choices for one purpose, the same for the same seed."""
    return random.Random(f"{purpose} {seed}")  # noqa: S311 - made-up data, no secrets


def number_blocks(count: int, seed: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """`count` random 64-bit numbers in blocks, each with the index of its first.

    One number holds enough bits for all choices of one row, and a block of them comes out of one call,
    which is many times faster than one call a choice.
    """
    generator = seeded("rows", seed)
    for first in range(0, count, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, count - first)
        yield first, struct.unpack(f"<{rows}Q", generator.randbytes(8 * rows))


def csv_cell(text: str) -> str:
    """The text as a CSV cell, in quotes only where it needs them."""
    if not any(mark in text for mark in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'
