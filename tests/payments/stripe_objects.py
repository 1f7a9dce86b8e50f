"""Keep the objects and the events of the simulated Stripe account."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Object = dict[str, Any]
DAY = 86_400


class Refused(Exception):
    """A rejection of a call by the API, with the status and the body of the response."""

    def __init__(self, status: int, message: str, *, code: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        error = {"type": kind or "invalid_request_error", "message": message, "code": code}
        self.body = {"error": {name: value for name, value in error.items() if value}}


@dataclass
class StripeObjects:
    clock: Callable[[], float] = time.time
    intents: dict[str, Object] = field(default_factory=dict)
    charges: dict[str, Object] = field(default_factory=dict)
    refunds: dict[str, Object] = field(default_factory=dict)
    disputes: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)  # Oldest first.
    next_refund_status: str = "succeeded"
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def now(self) -> int:
        return int(self.clock())

    def clear(self) -> None:
        """Remove all objects from the account, and make it use the real time again."""
        for kept in (self.intents, self.charges, self.refunds, self.disputes, self.events):
            kept.clear()
        self.next_refund_status = "succeeded"
        self.clock = time.time

    def _get(self, kind: str, id_: str) -> Object:
        stores: dict[str, dict[str, Object]] = {
            "payment_intents": self.intents,
            "charges": self.charges,
            "refunds": self.refunds,
            "disputes": self.disputes,
        }
        found = (
            next((event for event in self.events if event["id"] == id_), None)
            if kind == "events"
            else stores[kind].get(id_)
        )
        if found is None:
            raise Refused(404, f"No such {kind[:-1]}: {id_!r}", code="resource_missing")
        return found

    def _list(self, kind: str, given: list[tuple[str, str]]) -> Object:
        form = dict(given)
        stores: dict[str, list[Object]] = {
            "payment_intents": list(self.intents.values()),
            "refunds": list(self.refunds.values()),
            "disputes": list(self.disputes.values()),
            "events": self.events,
        }
        types = [value for name, value in given if name.startswith("types[")]
        if len(types) > 20:
            raise Refused(400, "Invalid array: too many types")
        limit = int(form.get("limit", 10))
        if not 1 <= limit <= 100:
            raise Refused(400, "Invalid limit")
        objects = reversed(stores[kind])  # Stripe lists the newest object first.
        after = form.get("starting_after", "")
        if after and not any(one["id"] == after for one in objects):
            raise Refused(400, f"No such {kind[:-1]}: {after!r}", code="resource_missing")
        found = []
        for one in objects:
            if one["created"] < int(form.get("created[gte]", 0)):
                break  # All further objects are older.
            if (
                one["created"] <= int(form.get("created[lte]", 2**40))
                and (
                    "payment_intent" not in form or one["payment_intent"] == form["payment_intent"]
                )
                and ("charge" not in form or one["charge"] == form["charge"])
                and (not types or one["type"] in types)
                and (kind != "events" or one["created"] > self.now - 30 * DAY)
            ):
                found.append(one)
            if len(found) > limit:
                break
        page = copy.deepcopy(found[:limit])
        has_more = len(found) > limit
        return {"object": "list", "data": page, "has_more": has_more, "url": f"/v1/{kind}"}

    def latest(self, type_: str, object_id: str = "") -> Object:
        return next(
            event
            for event in reversed(self.events)
            if event["type"] == type_ and object_id in ("", event["data"]["object"]["id"])
        )

    def _event(self, type_: str, object_: Object) -> Object:
        event = {
            "id": self._id("evt"),
            "object": "event",
            "type": type_,
            "created": self.now,
            "livemode": False,
            "data": {"object": copy.deepcopy(object_)},
        }
        self.events.append(event)
        return event

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers):08}"


def thin(event: Object, *, object_type: str) -> Object:
    """Return the thin event (API v2) that Stripe would send instead of `event`."""
    object_ = event["data"]["object"]
    created = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(event["created"]))
    return {
        "id": f"{event['id']}thin",
        "object": "v2.core.event",
        "type": f"v1.{event['type']}",
        "created": created,
        "livemode": False,
        "related_object": {
            "id": object_["id"],
            "type": object_type,
            "url": f"/v1/{object_type}s/{object_['id']}",
        },
    }
