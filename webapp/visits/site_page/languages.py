"""The names of languages that browsers commonly ask for, by ISO 639 code."""

from __future__ import annotations

from webapp.visits.site_page.places import country_name

CODES = (
    "af=Afrikaans|ar=Arabic|az=Azerbaijani|be=Belarusian|bg=Bulgarian|bn=Bengali|bs=Bosnian|ca=Catalan|"
    "cs=Czech|cy=Welsh|da=Danish|de=German|el=Greek|en=English|es=Spanish|et=Estonian|eu=Basque|fa=Persian|"
    "fi=Finnish|fil=Filipino|fr=French|ga=Irish|gl=Galician|gu=Gujarati|he=Hebrew|hi=Hindi|hr=Croatian|"
    "hu=Hungarian|hy=Armenian|id=Indonesian|is=Icelandic|it=Italian|ja=Japanese|ka=Georgian|kk=Kazakh|"
    "kn=Kannada|ko=Korean|lb=Luxembourgish|lt=Lithuanian|lv=Latvian|mk=Macedonian|ml=Malayalam|mn=Mongolian|"
    "mr=Marathi|ms=Malay|mt=Maltese|nb=Norwegian Bokmål|ne=Nepali|nl=Dutch|nn=Norwegian Nynorsk|no=Norwegian|"
    "pa=Punjabi|pl=Polish|pt=Portuguese|ro=Romanian|ru=Russian|sk=Slovak|sl=Slovenian|sq=Albanian|sr=Serbian|"
    "sv=Swedish|sw=Swahili|ta=Tamil|te=Telugu|th=Thai|tr=Turkish|uk=Ukrainian|ur=Urdu|uz=Uzbek|vi=Vietnamese|"
    "zh=Chinese|zu=Zulu"
)
NAMES = dict(pair.split("=") for pair in CODES.split("|"))


def language_name(code: str) -> str:
    """en-gb as "English (United Kingdom)"; a code that is not known stays as it is."""
    language, _, rest = code.partition("-")
    name = NAMES.get(language.lower())
    if name is None:
        return code
    region = country_name(rest.upper())
    return f"{name} ({region})" if region else name
