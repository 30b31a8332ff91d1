"""Names in an address by which advertisers know a click, in lower case, and into which channel each puts its visit.

Of an address only the name is kept: the id itself would tell one person from all others.
"""

from __future__ import annotations

PAID_SEARCH, PAID_SOCIAL, DISPLAY, AFFILIATES = "Paid search", "Paid social", "Display", "Affiliates"
CHANNEL_OF_CLICK_ID = {
    **dict.fromkeys(("gclid", "gbraid", "wbraid", "gclsrc", "msclkid", "yclid"), PAID_SEARCH),
    **dict.fromkeys(("ttclid", "twclid", "li_fat_id", "rdt_cid", "sccid", "epik"), PAID_SOCIAL),
    "dclid": DISPLAY,
    "irclickid": AFFILIATES,
    "fbclid": "",
}
"""Facebook's fbclid is on every link, paid or not, so it says nothing."""
