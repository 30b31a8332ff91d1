"""Steps that several journeys share."""

from __future__ import annotations

import io
import re

from playwright.sync_api import Page, expect

from webapp.generate.contacts import write

SIGN_IN_MILLISECONDS = 20_000


def sign_in(page: Page, web_url: str, email: str) -> None:
    """Through the sign-in page and the local issuer, as this person of the demo."""
    page.goto(f"{web_url}/")
    page.get_by_role("button", name="Try the demo").or_(page.get_by_role("link", name="Try the demo")).click()
    page.locator("p", has_text=email).get_by_role("button").click()
    expect(page).to_have_url(re.compile(f"^{re.escape(web_url)}/$"), timeout=SIGN_IN_MILLISECONDS)


def open_shop(page: Page, web_url: str, query: str = "") -> None:
    """The page of the demo website's visits, which stands among the organisation's sites."""
    page.goto(f"{web_url}/visits{query}")
    page.get_by_role("heading", name="Harbour Coffee", level=2).get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"/visits\?.*site="))


def contacts_csv(row_count: int, seed: int) -> str:
    """Generated contacts as the text of a CSV file."""
    file = io.StringIO()
    write(file, row_count, seed)
    return file.getvalue()


def drop_file(page: Page, selector: str, name: str, text: str) -> None:
    """Let go of a file over an element, as a hand with a mouse would."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name, {type: "text/csv"}));
            return transfer;
        }""",
        [name, text],
    )
    for kind in ("dragenter", "dragover", "drop"):
        page.dispatch_event(selector, kind, {"dataTransfer": transfer})


def start_rehearsal(
    page: Page, web_url: str, *, steps: int, milliseconds: int, ending: str = "It completes", begin_at: str = ""
) -> None:
    """Start the kind of job that only goes step by step, and arrive on its page."""
    page.goto(f"{web_url}/jobs/new")
    page.get_by_role("link", name="Rehearsal").click()
    page.get_by_label("Steps", exact=True).fill(str(steps))
    page.get_by_label("Milliseconds for a step").fill(str(milliseconds))
    page.get_by_label("Ending").select_option(label=ending)
    page.get_by_label("Begin at").fill(begin_at)
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile(r"/jobs/[0-9a-f-]{36}$"))
