from typing import Any

from core.lib.openapi import describe

for method in ("GET", "HEAD"):
    describe(
        "clients:openapi",
        method,
        "Read this description of the API.",
        answers={200: dict[str, Any] if method == "GET" else None},
    )
