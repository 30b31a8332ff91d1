"""What visits are filtered and listed by: names, the cards of lists, and values in plain words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from webapp.visits.models import Dimension
from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, PAGE
from webapp.visits.site_page.languages import language_name
from webapp.visits.site_page.places import country_name

OTHER = "(other)"
"""What was not counted one by one, added up."""
PROPERTY_SEPARATOR = "\x1f"
CAMPAIGN = "utm_campaign"
PAGE_FIELDS = (PAGE, ENTRY_PAGE, EXIT_PAGE)
EVENT_FIELDS = (Dimension.EVENT.value, Dimension.PROPERTY.value, Dimension.PRODUCT.value)
ROW_FIELDS = (PAGE, *EVENT_FIELDS)
"""What single rows of a visit have: filters by these may tell some of what a visit did from the rest."""
LABELS: Mapping[str, str] = MappingProxyType(
    {
        PAGE: "Page",
        ENTRY_PAGE: "Entry page",
        EXIT_PAGE: "Exit page",
        "referrer": "Referrer",
        "channel": "Channel",
        "utm_source": "Campaign source",
        "utm_medium": "Campaign medium",
        "utm_campaign": "Campaign",
        "utm_term": "Campaign term",
        "utm_content": "Campaign content",
        "country": "Country",
        "language": "Language",
        "device": "Device",
        "browser": "Browser",
        "system": "System",
        "screen": "Screen",
        "event": "Event",
        "property": "Event property",
        "product": "Product",
    }
)
NOTHING: Mapping[str, str] = MappingProxyType({"referrer": "Direct", "country": "Unknown country"})
"""What an empty value means; everything else that is empty was not given."""


@dataclass(frozen=True)
class Tab:
    """One list of a card."""

    field: str
    label: str
    below: str = ""
    """The field of the tab below which it stands in a row of its own."""


@dataclass(frozen=True)
class Card:
    """Lists that belong together; one of them is shown."""

    name: str
    title: str
    tabs: tuple[Tab, ...]

    def tab(self, field: str) -> Tab:
        """The tab of this field, or else the first."""
        return next((tab for tab in self.tabs if tab.field == field), self.tabs[0])

    def below(self, tab: Tab) -> list[Tab]:
        """The second row of tabs while this one is open, itself first."""
        top = tab.below or tab.field
        more = [one for one in self.tabs if one.below == top]
        return [self.tab(top), *more] if more else []


CARDS = (
    Card("pages", "Pages", (Tab(PAGE, "Top"), Tab(ENTRY_PAGE, "Entry"), Tab(EXIT_PAGE, "Exit"))),
    Card(
        "sources",
        "Sources",
        (
            Tab("channel", "Channels"),
            Tab("referrer", "Referrers"),
            Tab(CAMPAIGN, "Campaigns"),
            Tab("utm_source", "Source", CAMPAIGN),
            Tab("utm_medium", "Medium", CAMPAIGN),
            Tab("utm_term", "Term", CAMPAIGN),
            Tab("utm_content", "Content", CAMPAIGN),
        ),
    ),
    Card("places", "Places", (Tab("country", "Countries"), Tab("language", "Languages"))),
    Card(
        "technology",
        "Technology",
        (Tab("device", "Devices"), Tab("browser", "Browsers"), Tab("system", "Systems"), Tab("screen", "Screens")),
    ),
    Card("events", "Events", (Tab("event", "Events"), Tab("property", "Properties"), Tab("product", "Products"))),
)


def shown_value(field: str, value: str) -> str:
    """A value as people say it."""
    if value == OTHER:
        return "Everything else"
    if not value:
        return NOTHING.get(field, "Not given")
    if field == "property":
        return " · ".join(value.split(PROPERTY_SEPARATOR))
    if field == "country":
        return country_name(value)
    if field == "language":
        return language_name(value)
    if field in {"device", "channel"}:
        return value[:1].upper() + value[1:]
    return value


def plural(field: str) -> str:
    """What a whole list of this field is called."""
    label = LABELS[field]
    return f"{label[:-1]}ies" if label.endswith("y") else f"{label}s"
