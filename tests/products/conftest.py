"""A local Unsplash for products' pictures."""

from __future__ import annotations

from tests.pictures.conftest import configure, organisation, unsplash

__all__ = ["configure", "organisation", "unsplash"]
