"""Format numbers, money, durations and timestamps for people, the same way on pages, in e-mails and in messages."""

from datetime import datetime, timedelta

from django.utils import timezone

from core.lib.currencies import currency_of

NONE = "–"  # noqa: RUF001 (an en dash stands for "no value")


def money(amount: int | None, currency: str) -> str:
    """Format an amount that is given in minor units: 123450, "eur" -> "1,234.50 EUR"."""
    if amount is None:
        return NONE
    shown = currency_of(currency)
    return f"{shown.to_decimal(amount):,f} {shown.code}".rstrip()


def number(value: float | int | None, places: int | None = None) -> str:
    """Format a number with separators: 1234567 -> "1,234,567". By default, keep at most two decimals."""
    if value is None:
        return NONE
    if places is not None:
        return f"{value:,.{places}f}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def compact(value: float | int | None) -> str:
    """Abbreviate numbers from 1,000 for tight places: 1234 -> "1.2k", 3400000 -> "3.4M"."""
    if value is None:
        return NONE
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            shown = value / size
            return f"{shown:.0f}{sign}" if abs(shown) >= 99.95 else f"{shown:.1f}{sign}"
    return number(value)


def split_milliseconds(value: float | int | None) -> tuple[str, str]:
    """Split a duration in milliseconds into number and unit: 320 -> ("320", "ms"), 1240 -> ("1.24", "s")."""
    if value is None:
        return NONE, ""
    if value < 10:
        return number(value), "ms"
    if value < 1000:
        return f"{value:.0f}", "ms"
    if value < 60_000:
        return f"{value / 1000:.2f}", "s"
    return f"{value / 60_000:.1f}", "min"


def split_size(value: float | int | None) -> tuple[str, str]:
    """Split a size in bytes into number and unit: 8e9 -> ("8", "GB"). Units are powers of 1000, as for disks."""
    if value is None:
        return NONE, ""
    size = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.95:
            return (f"{size:.0f}" if unit == "B" else f"{size:.1f}".removesuffix(".0")), unit
        size /= 1000
    return f"{size:.1f}".removesuffix(".0"), "TB"


def quantity(value: float | int | None, unit: str) -> str:
    """Format a number with its unit: "1.24 s", "8 GB", "12 errors". Convert "ms" and "bytes" to a fitting unit."""
    if value is None:
        return NONE
    if unit == "ms":
        return " ".join(split_milliseconds(value))
    if unit == "bytes":
        return " ".join(split_size(value))
    return f"{number(value)} {_singular(unit) if value in (1, -1) else unit}".rstrip()


def _singular(unit: str) -> str:
    """Return the singular of a unit: "errors" -> "error". Abbreviations such as "s" stay unchanged."""
    if unit == "people":
        return "person"
    is_plural = len(unit) > 3 and unit.endswith("s") and not unit.endswith(("ss", "us", "is"))
    return unit[:-1] if is_plural else unit


def span(value: timedelta | float | int | None) -> str:
    """Format a duration (seconds or timedelta) in its two largest units: "3 d 4 h", "2 min", "45 s"."""
    if value is None:
        return NONE
    seconds = abs(value.total_seconds() if isinstance(value, timedelta) else value)
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    left = round(seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def ago(timestamp: datetime, now: datetime) -> str:
    """Format a timestamp relative to `now`: "4 min ago", "in 2 h", "just now", "now".

    portal.js updates these texts in the browser and must format them the same way.
    """
    seconds = (now - timestamp).total_seconds()
    if abs(seconds) < 10:
        # The client's clock may be slightly fast, which puts an event that has just happened in the future.
        return "just now" if seconds >= 0 else "now"
    text = _rounded_down(abs(seconds))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def until(timestamp: datetime, now: datetime) -> str:
    """Format a time in the future relative to `now`: "in 43 s", or "due now" once it has been reached.

    portal.js updates these texts in the browser and must format them the same way.
    """
    seconds = (timestamp - now).total_seconds()
    return f"in {_rounded_down(seconds)}" if seconds >= 1 else "due now"


def _rounded_down(seconds: float) -> str:
    for unit, length, limit in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
        if seconds < limit:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds // 86_400)} d"


def stamp(timestamp: datetime) -> str:
    """Format a timestamp with its zone: "22 Nov 2026, 14:10:17 UTC"."""
    local = timezone.localtime(timestamp)
    return f"{local.day} {local:%b %Y, %H:%M:%S %Z}"
