"""The organisation's goods."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Computed, Index, Numeric, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.clock import utc_now
from webapp.lib.columns import CreatedAt, NewId, SortKey, TenantKey
from webapp.products.fields import FIELDS
from webapp.records.entities import Beside, Entity, register_entity
from webapp.records.models import staging_table, tag_table, trash_table
from webapp.visits.product_views.models import ProductViewTotal


class Product(Model):
    """Something that is sold. `sku_key` tells two products apart; `image_id` is a kept picture.

    `bulk_action_id` is the import that the product came with.
    """

    __tablename__ = "products"
    __table_args__ = (
        UniqueConstraint("organisation_id", "sku_key"),
        Index(None, "organisation_id", "name_key", "id"),
        Index(None, "organisation_id", "updated_at", "id"),
        Index(None, "organisation_id", "price_key", "id"),
        Index(None, "organisation_id", "bulk_action_id", "id", postgresql_where=text("bulk_action_id IS NOT NULL")),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    sku: Mapped[str]
    name: Mapped[str | None]
    description: Mapped[str | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(19, 4))
    currency: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(default=True)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text()), default=list)
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    image_id: Mapped[UUID | None]
    sku_key: Mapped[SortKey]
    name_key: Mapped[str] = mapped_column(Text(collation="C"), Computed("lower(coalesce(name, ''))", persisted=True))
    price_key: Mapped[Decimal] = mapped_column(Numeric(19, 4), Computed("coalesce(price, -1)", persisted=True))
    bulk_action_id: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)

    @property
    def label(self) -> str:
        """The name, or the SKU of a product without one."""
        return self.name or self.sku


PRODUCTS = register_entity(
    Entity(
        name="products",
        singular="product",
        fields=FIELDS,
        model=Product,
        staged=staging_table("products", FIELDS),
        deleted=trash_table("products", Product.__table__),
        tags=tag_table("product"),
        sorts={
            "name": "name_key",
            "sku": "sku_key",
            "price": "price_key",
            "created": None,
            "updated": "updated_at",
            "views": "views",
        },
        search_keys=("sku_key", "name_key"),
        label_of=lambda product: product.label,
        shown_columns=("sku", "price", "views", "is_active", "tags"),
        attached={"image_id": "Picture"},
        beside={"views": Beside("Views (30 days)", ProductViewTotal, ProductViewTotal.view_count)},
    )
)
