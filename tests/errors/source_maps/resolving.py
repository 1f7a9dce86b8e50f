"""Send events from minified scripts, upload source maps, and read the resolved frames."""

from typing import Any

from django.utils import timezone

from errors.event import json_codec
from errors.models import (
    ErrorEvent,
    ResolvedEvent,
)
from errors.services import resolution
from errors.store import payloads, to_resolve
from tests.errors.source_maps.built import Build, Cli
from tests.errors.support import Sender

DEBUG_ID = "6d9e271d-ffad-5b97-a13d-8954e7fe7f2b"
OTHER_ID = "11111111-2222-3333-4444-555555555555"
OLD, NEW = Build(names="tn", debug_id=DEBUG_ID), Build(names="xy", debug_id=OTHER_ID)


def upload(cli: Cli, content: bytes, **body: Any) -> None:
    assert cli.upload(content, **body)["state"] == "ok"
    to_resolve.clear()


def resolve() -> int:
    return resolution.resolve_pending(now=timezone.now())


def send(browser: Sender, event: dict[str, Any]) -> ErrorEvent:
    answer = browser.send(event)
    assert answer.status_code == 200, answer.content
    return ErrorEvent.objects.get(event_id=answer.json()["id"])


def frames_of(event: ErrorEvent) -> list[dict[str, Any]]:
    row = ResolvedEvent.objects.select_related("stack").get(pk=event.pk)
    assert row.stack
    stacks = json_codec.decode(payloads.unpack(bytes(row.stack.data)))
    return stacks["exception.0"]  # type: ignore[no-any-return]


def places(event: ErrorEvent) -> list[tuple[str, str, int]]:
    return [(one["filename"], one.get("function", "?"), one["lineno"]) for one in frames_of(event)]


ORIGINAL = [
    ("src/cart.js", "?", 7),
    ("src/cart.js", "checkout", 6),
    ("src/cart.js", "addToCart", 3),
]
