"""List every URL of the portal, with the ids of objects that do not exist."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

ARGUMENTS = {
    "int": 987_654,
    "str": "nothing",
    "slug": "nothing",
    "uuid": "8e0b3f0c-9f0d-4b7e-8e57-5a0a4a2f0001",
    "path": "987654",
}


def all_paths() -> list[str]:
    """Return all paths, sorted, such as "/admin/errors/987654/", except those defined by regular expressions."""
    return sorted(set(_walk(get_resolver().url_patterns, "/")))


def named_paths() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the full name of each view under /admin/ and the names of its arguments."""
    yield from _names(get_resolver().url_patterns, "", "/", ())


def _names(
    patterns: list[URLPattern | URLResolver], space: str, prefix: str, arguments: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for pattern in patterns:
        route = prefix + str(getattr(pattern.pattern, "_route", ""))
        names = (*arguments, *pattern.pattern.converters)
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from _names(pattern.url_patterns, inner, route, names)
        elif pattern.name and route.startswith("/admin/"):
            yield f"{space}{pattern.name}", names


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
    for pattern in patterns:
        route = getattr(pattern.pattern, "_route", None)
        if route is None:
            continue
        path = prefix + str(route)
        for name, converter in pattern.pattern.converters.items():
            kind = type(converter).__name__.removesuffix("Converter").lower()
            kind = {"string": "str"}.get(kind, kind)
            for placeholder in (f"<{kind}:{name}>", f"<{name}>"):
                path = path.replace(placeholder, str(ARGUMENTS.get(kind, "nothing")))
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif "<" not in path:
            yield path


def page_paths() -> list[str]:
    return [path for path in all_paths() if path.startswith("/admin/")]


def api_paths() -> list[str]:
    return [path for path in all_paths() if path.startswith("/api/")]
