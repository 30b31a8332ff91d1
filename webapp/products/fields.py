"""What a product consists of, declared once: import mapping, forms, the API, search and export read it here."""

from __future__ import annotations

from webapp.lib.keys import fold_key
from webapp.records.field_types import BooleanField, CurrencyField, DecimalField, KeyTextField, TagsField
from webapp.records.fields import Field

FIELDS: tuple[Field, ...] = (
    KeyTextField(
        "sku",
        "SKU",
        100,
        is_required=True,
        is_key=True,
        synonyms=(
            "article number", "item number", "product code", "variant sku", "part number", "item code", "product id",
            "artikelnummer", "référence", "referencia", "code", "handle",
        ),
        fold=fold_key,
    ),
    Field(
        "name",
        "Name",
        300,
        synonyms=("title", "product name", "product", "item name", "bezeichnung", "nom", "nombre", "artikel"),
    ),
    Field(
        "description",
        "Description",
        20_000,
        is_multiline=True,
        synonyms=("body", "body (html)", "details", "text", "beschreibung", "descripción"),
    ),
    DecimalField(
        "price",
        "Price",
        40,
        type="decimal",
        sql_type="numeric",
        synonyms=("unit price", "variant price", "amount", "retail price", "preis", "prix", "precio"),
    ),
    CurrencyField(
        "currency",
        "Currency",
        3,
        synonyms=("currency code", "price currency", "währung", "devise", "moneda"),
        help="Three letters, such as EUR.",
    ),
    BooleanField(
        "is_active",
        "Active",
        20,
        type="boolean",
        sql_type="boolean",
        sql_default="true",
        synonyms=("active", "enabled", "published", "status", "available", "aktiv", "actif", "activo"),
    ),
    TagsField(
        "tags",
        "Tags",
        8_000,
        type="tags",
        sql_type="text[]",
        sql_default="'{}'",
        synonyms=("tag", "labels", "label", "collection", "collections", "category", "categories", "kategorie"),
        help="Separated by commas.",
    ),
)  # fmt: skip
