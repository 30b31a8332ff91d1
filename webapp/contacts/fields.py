"""What a contact consists of, declared once: import mapping, forms, the API, search and export read it here."""

from __future__ import annotations

from webapp.lib.keys import fold_key
from webapp.records.field_types import EmailField, MemberField, PhoneField, TagsField, email_fault
from webapp.records.fields import Field

EMAIL_MAX_LENGTH = 254

FIELDS: tuple[Field, ...] = (
    EmailField(
        "email",
        "E-mail",
        EMAIL_MAX_LENGTH,
        type="email",
        is_required=True,
        is_key=True,
        synonyms=(
            "email", "mail", "e-mail address", "mail address", "email id", "primary email", "work email",
            "contact email", "email 1", "e-mail 1 - value", "correo", "courriel", "adresse e-mail", "e-mail-adresse",
        ),
        find_fault=email_fault,
        fold=fold_key,
    ),
    Field(
        "first_name",
        "First name",
        synonyms=("firstname", "given name", "forename", "first", "vorname", "prénom", "nombre"),
    ),
    Field(
        "last_name",
        "Last name",
        synonyms=("lastname", "surname", "family name", "last", "nachname", "nom de famille", "apellido", "apellidos"),
    ),
    PhoneField(
        "phone",
        "Phone",
        64,
        type="tel",
        synonyms=(
            "phone number", "telephone", "telephone number", "tel", "mobile", "mobile phone", "mobile number",
            "cell", "cell phone", "telefon", "téléphone", "teléfono",
        ),
        help="With “+” and the country's code, such as +49 30 1234567.",
    ),
    Field(
        "company",
        "Company",
        300,
        synonyms=(
            "company name", "organisation", "organization", "organisation name", "organization name", "employer",
            "account", "account name", "business", "firma", "unternehmen", "entreprise", "empresa",
        ),
    ),
    Field(
        "job_title",
        "Job title",
        300,
        synonyms=("title", "position", "role", "job", "occupation", "designation", "funktion", "poste", "cargo"),
    ),
    Field(
        "street",
        "Street",
        300,
        synonyms=(
            "address", "street address", "address line 1", "address 1", "mailing street", "straße", "strasse",
            "adresse", "rue", "calle", "dirección",
        ),
        group="Address",
    ),
    Field(
        "postal_code",
        "Postal code",
        32,
        synonyms=("postcode", "zip", "zip code", "zip/postal code", "plz", "postleitzahl", "code postal"),
        group="Address",
    ),
    Field(
        "city",
        "City",
        synonyms=("town", "locality", "place", "stadt", "ort", "ville", "ciudad"),
        group="Address",
    ),
    Field(
        "region",
        "State or region",
        synonyms=("state", "region", "province", "county", "state/region", "bundesland", "région", "provincia"),
        group="Address",
    ),
    Field(
        "country",
        "Country",
        synonyms=("country name", "nation", "country/region", "land", "pays", "país"),
        group="Address",
    ),
    TagsField(
        "tags",
        "Tags",
        8_000,
        type="tags",
        sql_type="text[]",
        sql_default="'{}'",
        synonyms=("tag", "labels", "label", "groups", "segments", "lists", "kategorien", "étiquettes", "etiquetas"),
        help="Separated by commas.",
    ),
    MemberField(
        "owner_id",
        "Owner",
        254,
        type="member",
        sql_type="uuid",
        synonyms=("owner", "contact owner", "assigned to", "owner email", "account owner"),
        help="The member who looks after this contact.",
    ),
    Field("notes", "Notes", 20_000, is_multiline=True, synonyms=("note", "comment", "comments", "remarks", "notizen")),
)  # fmt: skip
KEY_FIELD = FIELDS[0]
FIELDS_BY_NAME = {field.name: field for field in FIELDS}
FIELD_NAMES = tuple(FIELDS_BY_NAME)
