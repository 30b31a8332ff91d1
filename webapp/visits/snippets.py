"""What a website embeds, with the options that its owner has chosen. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from webapp.config import Settings
from webapp.visits.tracker_script import tracker_script

QUEUE = (
    'window.footfall||["identify","product","pageview"].reduce((f,n)=>(f[n]=(...a)=>f(()=>footfall[n](...a)),f),'
    "window.footfall=function(){(footfall.q=footfall.q||[]).push(arguments)})"
)
"""Takes every call, and keeps it until the tracker is there."""


@dataclass(frozen=True)
class Option:
    """One of the tracker's options, as the page offers it."""

    name: str
    attribute: str
    label: str
    hint: str


OPTIONS = (
    Option("outbound", "data-outbound", "Links to other websites", "Counts each as the event “outbound”."),
    Option("downloads", "data-downloads", "Downloads", "Counts PDF, ZIP and other files as “download”."),
    Option("forms", "data-forms", "Forms sent", "Counts where a form goes as “form”, never what it holds."),
    Option("missing", "data-404", "Pages that do not exist", "Counts their paths as “404”."),
    Option("hash", "data-hash", "Pages behind #", "For apps whose pages differ only after the #."),
    Option("manual", 'data-auto="false"', "Count only when told", "Your script calls footfall.pageview()."),
    Option("cookieless", "data-cookieless", "Store nothing in the browser", "Visitors are known within a day only."),
    Option("dnt", "data-respect-dnt", "Leave out who asks", "Respects Do Not Track and Global Privacy Control."),
)  # fmt: skip
PINNED = Option(
    "pinned", "", "This version only", "Kept for a year and checked by its hash. After an upgrade, paste the line anew."
)
NOSCRIPT = Option("noscript", "", "Browsers without scripts", "Counts their pages by a picture that nobody sees.")
BARE = Option(
    "bare",
    "",
    "No line of script in the page",
    "For pages that forbid it (CSP). Calls before it has loaded fail.",
)


@dataclass(frozen=True)
class Chosen:
    """The options that are switched on, and the pages that are left out."""

    names: frozenset[str] = field(default_factory=frozenset)
    exclude: str = ""

    @classmethod
    def read(cls, arguments: Mapping[str, str]) -> Chosen:
        """What the query of an address asks for; what it does not know it ignores."""
        known = {option.name for option in (*OPTIONS, PINNED, NOSCRIPT, BARE)}
        return cls(frozenset(known & set(arguments)), arguments.get("exclude", "").strip()[:500])


def make_snippet(settings: Settings, site_key: str, query_keys: Sequence[str] = (), chosen: Chosen = Chosen()) -> str:
    """The lines to put into the head of every page; what differs in one of the query's keys is another page."""
    lines = [] if BARE.name in chosen.names else [f"<script>{QUEUE}</script>"]
    lines.append(_script(settings, site_key, query_keys, chosen))
    return "\n".join(lines)


def make_noscript(settings: Settings, site_key: str) -> str:
    """The line for the body, where browsers run no scripts; only because the picture asks for it is the whole
    address of the page sent."""
    address = f"{settings.edge_url}{settings.pixel_path}?site={site_key}"
    picture = f'<img src="{address}" referrerpolicy="no-referrer-when-downgrade" alt="" width="1" height="1">'
    return f"<noscript>{picture}</noscript>"


def _script(settings: Settings, site_key: str, query_keys: Sequence[str], chosen: Chosen) -> str:
    script = tracker_script(settings)
    attributes = [option.attribute for option in OPTIONS if option.name in chosen.names]
    if query_keys:
        attributes.append(f'data-query="{html.escape(",".join(query_keys))}"')
    if chosen.exclude:
        attributes.append(f'data-exclude="{html.escape(chosen.exclude)}"')
    address = script.path
    if PINNED.name in chosen.names:
        address = script.versioned_path
        attributes.append(f'integrity="{script.integrity}" crossorigin="anonymous"')
    rest = "".join(f" {attribute}" for attribute in attributes)
    return f'<script defer src="{settings.edge_url}{address}" data-site-key="{site_key}"{rest}></script>'
