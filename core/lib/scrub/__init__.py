"""Personal data and secrets, removed before anything is stored or logged.

Two ways in: by the name of a field (`password`, `X-Auth-Token`; `names`), which filters the whole value, and by the look
of a text (addresses, card numbers, bearer tokens; `texts`), which filters the matched part only. What links a problem to
an order, a payment or a reservation is kept.
"""

from core.lib.scrub.texts import FILTERED, passes_luhn, scrub_text
from core.lib.scrub.values import (
    TOO_DEEP,
    ScrubbedDict,
    ScrubbedList,
    Scrubber,
    scrub,
    scrubber,
)

__all__ = [
    "FILTERED",
    "TOO_DEEP",
    "ScrubbedDict",
    "ScrubbedList",
    "Scrubber",
    "passes_luhn",
    "scrub",
    "scrub_text",
    "scrubber",
]
