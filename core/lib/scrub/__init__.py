"""Remove personal data and secrets before anything is stored or logged.

If the name of a field marks a secret (`password`, `X-Auth-Token`; see `names`), its whole value is replaced unless it
is empty. In texts, only the parts that match a pattern are replaced (addresses, card numbers, bearer tokens; see
`texts`). References to orders, payments and reservations are kept.
"""

from core.lib.scrub.texts import FILTERED, has_email_address, passes_luhn, scrub_text
from core.lib.scrub.values import (
    TOO_DEEP,
    Scrubbed,
    ScrubbedDict,
    Scrubber,
    scrub,
    scrubber,
)

__all__ = [
    "FILTERED",
    "TOO_DEEP",
    "Scrubbed",
    "ScrubbedDict",
    "Scrubber",
    "has_email_address",
    "passes_luhn",
    "scrub",
    "scrub_text",
    "scrubber",
]
