"""The work of a job that finds a product's picture."""

from __future__ import annotations

from uuid import UUID

from webapp.extensions import db
from webapp.jobs.kinds import Result, Run
from webapp.pictures.tasks import find_picture
from webapp.products.service import give_picture


def find_product_picture(run: Run) -> Result:
    """Find a picture as any other is found, then give it to the product, unless that has one by now.

    A job that ran twice finds the same picture, and gives it once.
    """
    result = find_picture(run) or {}
    product_id = UUID(run.parameters["product_id"])
    was_given = give_picture(run.organisation_id, product_id, UUID(result["picture_id"]))
    db.session.commit()
    if not was_given:
        run.log("The product is gone, or has a picture already; this one is kept beside it.")
    return {**result, "links": [*result["links"], {"label": "Product", "path": f"/products/{product_id}"}]}
