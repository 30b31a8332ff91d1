"""Unique visitors as mergeable sketches: exact while small, within about 3 % of the truth beyond."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from datasketches import hll_sketch, hll_union, tgt_hll_type

logger = logging.getLogger(__name__)
LG_K = 12
EXACT_LIMIT = 384
"""Up to so many visitors the sketch holds each one; beyond that it estimates."""
ERROR_PERCENT = 3
"""How far an estimate is from the truth at most, 19 times out of 20: twice 1.04 / sqrt(2 ** LG_K)."""


class UnreadableSketchError(Exception):
    """What is kept as a sketch is none. No beacon's fault, so it is no ValueError."""


def sketch_of(visitors: Iterable[int]) -> bytes:
    """A sketch of these visitors, by their numbers."""
    sketch = hll_sketch(LG_K, tgt_hll_type.HLL_4)
    for visitor in visitors:
        sketch.update(visitor)
    return bytes(sketch.serialize_compact())


def merge(sketches: Iterable[bytes]) -> bytes:
    """One sketch of everyone who is in any of them; raises UnreadableSketchError."""
    union = hll_union(LG_K)
    for sketch in sketches:
        union.update(_read(sketch))
    return bytes(union.get_result(tgt_hll_type.HLL_4).serialize_compact())


def count_visitors(sketches: Iterable[bytes]) -> int:
    """How many different visitors are in these sketches together; raises UnreadableSketchError."""
    union = hll_union(LG_K)
    for sketch in sketches:
        union.update(_read(sketch))
    return round(float(union.get_estimate()))


def count_readable_visitors(sketches: Iterable[bytes]) -> int:
    """As `count_visitors`, without what cannot be read: a page with too few, until a rebuild, is better than none."""
    kept = list(sketches)
    try:
        return count_visitors(kept)
    except UnreadableSketchError as error:
        logger.error("A sketch of visitors cannot be read, and is left out until its site is rebuilt: %s", error)
        return count_visitors(filter(is_readable, kept))


def merge_readable(sketches: Iterable[bytes]) -> bytes:
    """As `merge`, without what cannot be read."""
    return merge(filter(is_readable, sketches))


def is_readable(sketch: bytes) -> bool:
    """Whether this is a sketch."""
    try:
        _read(sketch)
    except UnreadableSketchError:
        return False
    return True


def _read(sketch: bytes) -> hll_sketch:
    try:
        return hll_sketch.deserialize(sketch)
    except (ValueError, RuntimeError, LookupError) as error:
        raise UnreadableSketchError(str(error)) from error


def is_estimate(visitor_count: int) -> bool:
    """Whether this count is an estimate, which a page must say."""
    return visitor_count > EXACT_LIMIT
