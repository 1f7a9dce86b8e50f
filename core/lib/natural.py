"""Sort names in natural order: "Shop 2" before "Shop 10"."""

import re

_NUMBER = re.compile(r"([0-9]+)")


def natural_key(text: str) -> tuple[tuple[str, int], ...]:
    """Return a sort key that compares numbers by value and letters without regard to case."""
    parts = _NUMBER.split(text.casefold())
    # Strings and numbers alternate, beginning with a string, so a string is never compared with a number.
    return tuple(
        ("", int(part[:30])) if index % 2 else (part, 0) for index, part in enumerate(parts)
    )
