"""What is counted of product views. SKUs stand as products' keys are folded; days are those of their site's zone."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import SortKey, TenantKey


class ProductViewDay(Model):
    """How often a SKU was viewed on a site's day. The key '' stands for all that the day does not count one by one."""

    __tablename__ = "product_view_days"
    __table_args__ = (Index("ix_product_view_days_sku_key", "organisation_id", "sku_key", "day"),)

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    sku_key: Mapped[SortKey] = mapped_column(primary_key=True)
    view_count: Mapped[int] = mapped_column(BigInteger)


class ProductViewDayCount(Model):
    """How many SKUs a site's day counts one by one, so that their number can be bounded."""

    __tablename__ = "product_view_day_counts"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    sku_count: Mapped[int] = mapped_column(BigInteger)


class ProductViewWindow(Model):
    """The first of a site's days that is part of the totals: they hold it and all that follow."""

    __tablename__ = "product_view_windows"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    first_day: Mapped[date]


class ProductViewTotal(Model):
    """How often a SKU was viewed in the last thirty days on all sites, where it was at all.

    Lists of products are sorted by it. `sku` is as some website writes it.
    """

    __tablename__ = "product_view_totals"
    __table_args__ = (Index("ix_product_view_totals_view_count", "organisation_id", "view_count", "sku_key"),)

    organisation_id: Mapped[TenantKey]
    sku_key: Mapped[SortKey] = mapped_column(primary_key=True)
    sku: Mapped[str]
    view_count: Mapped[int] = mapped_column(BigInteger)
