"""Remove personal data and secrets before anything is stored or logged.

The name of a field (`password`, `X-Auth-Token`; see `names`) filters its whole value. Patterns in texts (addresses,
card numbers, bearer tokens; see `texts`) filter only the matched part. References to orders, payments and reservations
are kept.
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
