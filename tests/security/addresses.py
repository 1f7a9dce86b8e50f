"""Every address the portal has, each with arguments that lead nowhere."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

ARGUMENTS = {
    "int": 987_654,
    "str": "nothing",
    "slug": "nothing",
    "uuid": "8e0b3f0c-9f0d-4b7e-8e57-5a0a4a2f0001",
    "path": "987654",
}


def every_address() -> list[str]:
    """Paths like "/admin/errors/987654/", sorted; the ones by regular expression left out."""
    return sorted(set(_walk(get_resolver().url_patterns, "/")))


def _walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[str]:
    for pattern in patterns:
        route = getattr(pattern.pattern, "_route", None)
        if route is None:
            continue
        path = before + str(route)
        for name, converter in pattern.pattern.converters.items():
            kind = type(converter).__name__.removesuffix("Converter").lower()
            kind = {"string": "str"}.get(kind, kind)
            for spelled in (f"<{kind}:{name}>", f"<{name}>"):
                path = path.replace(spelled, str(ARGUMENTS.get(kind, "nothing")))
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif "<" not in path:
            yield path


def pages() -> list[str]:
    return [path for path in every_address() if path.startswith("/admin/")]


def api() -> list[str]:
    return [path for path in every_address() if path.startswith("/api/")]
