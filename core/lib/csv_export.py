"""Stream rows as CSV for spreadsheets."""

import csv
from collections.abc import Iterable
from itertools import chain

from django.http import StreamingHttpResponse

_CONTROLS = ("\t", "\r", "\n")
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class _Echo:
    def write(self, line: str) -> str:
        return line


def csv_response(
    name: str, columns: Iterable[str], lines: Iterable[Iterable[str]]
) -> StreamingHttpResponse:
    """Return a download whose lines are generated while the client reads it."""
    writer = csv.writer(_Echo())
    return StreamingHttpResponse(
        (writer.writerow(map(not_a_formula, line)) for line in chain([columns], lines)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def not_a_formula(text: str) -> str:
    """Put a quote before a string that spreadsheets would evaluate as a formula, such as an order id like "=1+1".

    The function also finds formulas after white space and with full-width characters, which some spreadsheets accept.
    """
    is_formula = text[:1] in _CONTROLS or text.lstrip()[:1] in _FORMULA_STARTS
    return f"'{text}" if text and is_formula else text
