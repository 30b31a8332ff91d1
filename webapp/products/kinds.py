"""The kind of job that finds a picture for a product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webapp.jobs.kinds import Kind, MayStart, Result, Run
from webapp.jobs.parameters import Parameter
from webapp.pictures.kinds import QUERY_LIMIT, why_unavailable


def _run(run: Run) -> Result:
    """Imported late: the pages know the kind without a broker, and nothing here commits."""
    from webapp.products.tasks import find_product_picture

    return find_product_picture(run)


def _title(parameters: Mapping[str, Any]) -> str:
    return f"Picture of “{parameters['query']}”"


FIND_PRODUCT_PICTURE = Kind(
    name="find_product_picture",
    label="Find a product's picture",
    description="Looks for a photo at Unsplash, and gives it to a product, in place of the picture that it had then.",
    run=_run,
    parameters=(
        Parameter("query", "Search word", is_required=True, maximum=QUERY_LIMIT),
        Parameter("product_id", "Product", is_required=True, maximum=36),
        Parameter("replaced_id", "Picture in whose place it comes", maximum=36),
    ),
    concurrency_limit=2,
    may_start=MayStart.NOBODY,
    title=_title,
    why_unavailable=why_unavailable,
)
