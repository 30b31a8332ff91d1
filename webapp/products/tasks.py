"""The work of a job that finds a product's picture."""

from __future__ import annotations

from uuid import UUID

from webapp.extensions import db
from webapp.jobs.kinds import Result, Run
from webapp.pictures.tasks import find_picture
from webapp.products.service import give_picture


def find_product_picture(run: Run) -> Result:
    """Find a picture as any other is found, then give it to the product, unless that has another by now.

    A job that ran twice finds the same picture.
    """
    result = find_picture(run)
    product_id, replaced = UUID(run.parameters["product_id"]), run.parameters.get("replaced_id")
    replaced_id = UUID(replaced) if replaced else None
    has_it = give_picture(run.organisation_id, product_id, UUID(result["picture_id"]), replaced_id)
    db.session.commit()
    if not has_it:
        run.log("The product is gone, or was given another picture meanwhile; this one is kept beside it.")
    return {**result, "links": [*result["links"], {"label": "Product", "path": f"/products/{product_id}"}]}
