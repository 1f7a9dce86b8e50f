"""Simulate a Stripe account with failing refunds, disputes, captures and bank debits, which localstripe lacks.

`serve` answers the API calls that the portal makes. The other methods do what buyers, banks and the shop's staff do at
Stripe. Each of them records the events that Stripe would send, in Stripe's order, and returns them. The caller passes
a clock, so that a month can pass in seconds. StripeDouble makes the account available by HTTP.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

Object = dict[str, Any]
DAY = 86_400
EVIDENCE_DAYS = 9
CLOSED = ("warning_closed", "won", "lost")


class Refused(Exception):
    """The API rejects a call. The exception has the status and the body of the response."""

    def __init__(self, status: int, message: str, *, code: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        error = {"type": kind or "invalid_request_error", "message": message, "code": code}
        self.body = {"error": {name: value for name, value in error.items() if value}}


@dataclass
class StripeAccount:
    clock: Callable[[], float] = time.time
    intents: dict[str, Object] = field(default_factory=dict)
    charges: dict[str, Object] = field(default_factory=dict)
    refunds: dict[str, Object] = field(default_factory=dict)
    disputes: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)  # The oldest event is first.
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

    # --- the API ------------------------------------------------------------------------------------------

    def serve(self, method: str, path: str, query: str) -> tuple[int, Object]:
        """Return the status and body of the response to a call. `query` has the parameters from its URL or body."""
        parts = path.strip("/").split("/")[1:]
        given = parse_qsl(query, keep_blank_values=True)
        try:
            return 200, self._route(method, parts, given)
        except Refused as refusal:
            return refusal.status, refusal.body

    def _route(self, method: str, parts: list[str], given: list[tuple[str, str]]) -> Object:
        form = dict(given)
        match (method, parts):
            case "GET", ["payment_intents" | "refunds" | "disputes" | "events" as kind]:
                return self._list(kind, given)
            case "GET", [
                "payment_intents" | "charges" | "refunds" | "disputes" | "events" as kind,
                id_,
            ]:
                return copy.deepcopy(self._get(kind, id_))
            case "POST", ["payment_intents"]:
                return copy.deepcopy(self._create_intent(form))
            case "POST", ["payment_intents", id_, "cancel"]:
                self.cancel(id_)
                return copy.deepcopy(self.intents[id_])
            case "POST", ["payment_intents", id_, "capture"]:
                amount = int(form["amount_to_capture"]) if "amount_to_capture" in form else None
                self.capture(id_, amount)
                return copy.deepcopy(self.intents[id_])
            case "POST", ["refunds"]:
                intent = self._get("payment_intents", form.get("payment_intent", ""))
                amount = int(form["amount"]) if "amount" in form else None
                made = self._refund(intent, amount, _nested(form, "metadata"))
                return copy.deepcopy(made)
        raise Refused(404, f"Unrecognized request URL ({method}: {'/'.join(parts)})")

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
        objects = reversed(stores[kind])  # The newest object is listed first.
        after = form.get("starting_after", "")
        if after and not any(one["id"] == after for one in objects):
            raise Refused(400, f"No such {kind[:-1]}: {after!r}")
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

    def _create_intent(self, form: dict[str, str]) -> Object:
        if "amount" not in form or "currency" not in form:
            raise Refused(400, "Missing required param", code="parameter_missing")
        id_ = self._id("pi")
        intent = {
            "id": id_,
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "amount_received": 0,
            "amount_capturable": 0,
            "capture_method": form.get("capture_method", "automatic"),
            "client_secret": f"{id_}_secret_x",
            "created": self.now,
            "currency": form["currency"],
            "description": form.get("description"),
            "latest_charge": None,
            "livemode": False,
            "metadata": _nested(form, "metadata"),
            "status": "requires_payment_method",
        }
        self.intents[id_] = intent
        self._event("payment_intent.created", intent)
        return intent

    # --- buyers and banks -----------------------------------------------------------------------------------

    def create(
        self, amount: int = 2500, currency: str = "eur", metadata: dict[str, str] | None = None
    ) -> Object:
        """Create an intent, as another program that uses the account would."""
        form = {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
        return self._create_intent({"amount": str(amount), "currency": currency, **form})

    def pay(self, intent_id: str, *, amount: int | None = None) -> Object:
        """Pay the intent, and return the event of its success. If `amount` is given, capture only that amount."""
        intent = self._get("payment_intents", intent_id)
        assert intent["status"] not in ("succeeded", "canceled"), intent["status"]
        self._charge(intent, amount or intent["amount"])
        return self.latest("payment_intent.succeeded", intent_id)

    def authorize(self, intent_id: str) -> Object:
        """Reserve the money on the card. `capture()` takes it later."""
        intent = self._get("payment_intents", intent_id)
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        return self._event("payment_intent.amount_capturable_updated", intent)

    def capture(self, intent_id: str, amount: int | None = None) -> Object:
        intent = self._get("payment_intents", intent_id)
        if intent["status"] != "requires_capture":
            raise Refused(
                400,
                "This PaymentIntent could not be captured",
                code="payment_intent_unexpected_state",
            )
        intent["amount_capturable"] = 0
        self._charge(intent, amount or intent["amount"])
        return self.latest("payment_intent.succeeded", intent_id)

    def start_debit(self, intent_id: str) -> Object:
        """Confirm a bank debit, whose outcome is known days later."""
        intent = self._get("payment_intents", intent_id)
        intent["status"] = "processing"
        return self._event("payment_intent.processing", intent)

    def decline(self, intent_id: str) -> Object:
        """Decline the card, or let a bank debit fail. The buyer can pay again."""
        intent = self._get("payment_intents", intent_id)
        intent |= {
            "status": "requires_payment_method",
            "last_payment_error": {"code": "card_declined", "type": "card_error"},
        }
        return self._event("payment_intent.payment_failed", intent)

    def cancel(self, intent_id: str) -> Object:
        intent = self._get("payment_intents", intent_id)
        if intent["status"] in ("succeeded", "canceled", "processing"):
            code = "payment_intent_unexpected_state"
            raise Refused(400, f"This PaymentIntent is {intent['status']}", code=code)
        intent |= {"status": "canceled", "amount_capturable": 0}
        return self._event("payment_intent.canceled", intent)

    def _charge(self, intent: Object, amount: int) -> None:
        charge = {
            "id": self._id("ch"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": amount,
            "amount_refunded": 0,
            "billing_details": {"email": "ann@example.org", "name": "Ann", "phone": None},
            "created": self.now,
            "currency": intent["currency"],
            "disputed": False,
            "livemode": False,
            "metadata": dict(intent["metadata"]),
            "payment_intent": intent["id"],
            "refunded": False,
            "status": "succeeded",
        }
        self.charges[charge["id"]] = charge
        intent |= {
            "status": "succeeded",
            "amount_received": amount,
            "latest_charge": charge["id"],
        }
        self._event("charge.succeeded", charge)
        self._event("payment_intent.succeeded", intent)

    def refund(self, intent_id: str, amount: int | None = None) -> list[Object]:
        """Refund the payment as staff do in Stripe's dashboard, and return the events."""
        start = len(self.events)
        self._refund(self._get("payment_intents", intent_id), amount, {})
        return self.events[start:]

    def _refund(self, intent: Object, amount: int | None, metadata: dict[str, str]) -> Object:
        if not intent["latest_charge"]:
            raise Refused(400, "This PaymentIntent does not have a successful charge to refund.")
        charge = self.charges[intent["latest_charge"]]
        if charge["disputed"] and not self._is_refundable(charge):
            raise Refused(400, "Charge is disputed", code="charge_disputed")
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = left if amount is None else amount
        if not 0 < amount <= left:
            raise Refused(400, "Refund amount is greater than the unrefunded amount on charge")
        refund = {
            "id": self._id("re"),
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "created": self.now,
            "currency": charge["currency"],
            "metadata": metadata,
            "payment_intent": intent["id"],
            "status": self.next_refund_status,
        }
        self.refunds[refund["id"]] = refund
        self._add_up(charge)
        self._event("refund.created", refund)
        self._event("charge.refunded", charge)
        return refund

    def complete_refund(self, refund_id: str) -> Object:
        refund = self._get("refunds", refund_id)
        refund["status"] = "succeeded"
        return self._event("refund.updated", refund)

    def fail_refund(self, refund_id: str, reason: str = "expired_or_canceled_card") -> list[Object]:
        """Let the buyer's bank return a refund that is pending or has succeeded, and return the events."""
        start = len(self.events)
        refund = self._get("refunds", refund_id)
        refund |= {"status": "failed", "failure_reason": reason}
        self._add_up(self.charges[refund["charge"]])
        self._event("refund.updated", refund)
        self._event("refund.failed", refund)
        self._event("charge.refund.updated", refund)
        return self.events[start:]

    def _add_up(self, charge: Object) -> None:
        charge["amount_refunded"] = sum(
            refund["amount"]
            for refund in self.refunds.values()
            if refund["charge"] == charge["id"] and refund["status"] not in ("failed", "canceled")
        )
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]

    def dispute(self, intent_id: str, *, is_inquiry: bool = False) -> list[Object]:
        """Let the buyer dispute the payment at the bank, or open an inquiry about it, and return the events."""
        start = len(self.events)
        charge = self.charges[self._get("payment_intents", intent_id)["latest_charge"]]
        charge["disputed"] = True
        dispute = {
            "id": self._id("du"),
            "object": "dispute",
            "amount": charge["amount_captured"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": self.now,
            "currency": charge["currency"],
            "evidence": {"customer_name": "Ann", "customer_email_address": "ann@example.org"},
            "evidence_details": {"due_by": self.now + EVIDENCE_DAYS * DAY, "has_evidence": False},
            "is_charge_refundable": is_inquiry,
            "metadata": {},
            "payment_intent": intent_id,
            "reason": "product_not_received",
            "status": "warning_needs_response" if is_inquiry else "needs_response",
        }
        self.disputes[dispute["id"]] = dispute
        self._event("charge.dispute.created", dispute)
        if not is_inquiry:
            self._withdraw(dispute)
        return self.events[start:]

    def escalate(self, dispute_id: str) -> list[Object]:
        """Turn an inquiry into a dispute, and return the events."""
        start = len(self.events)
        dispute = self._get("disputes", dispute_id)
        dispute |= {"status": "needs_response", "is_charge_refundable": False}
        self._event("charge.dispute.updated", dispute)
        self._withdraw(dispute)
        return self.events[start:]

    def send_evidence(self, dispute_id: str) -> Object:
        dispute = self._get("disputes", dispute_id)
        is_inquiry = dispute["status"].startswith("warning_")
        dispute["status"] = "warning_under_review" if is_inquiry else "under_review"
        dispute["evidence_details"]["has_evidence"] = True
        return self._event("charge.dispute.updated", dispute)

    def close_dispute(self, dispute_id: str, status: str) -> list[Object]:
        """Close the dispute with `status`, which is won, lost or warning_closed, and return the events."""
        start = len(self.events)
        dispute = self._get("disputes", dispute_id)
        dispute["status"] = status
        self._event("charge.dispute.closed", dispute)
        if status == "won":
            dispute["balance_transactions"].append({"amount": dispute["amount"]})
            self._event("charge.dispute.funds_reinstated", dispute)
        return self.events[start:]

    def _withdraw(self, dispute: Object) -> None:
        dispute["balance_transactions"].append({"amount": -dispute["amount"]})
        self._event("charge.dispute.funds_withdrawn", dispute)

    def _is_refundable(self, charge: Object) -> bool:
        return all(
            dispute["is_charge_refundable"] or dispute["status"] == "won"
            for dispute in self.disputes.values()
            if dispute["charge"] == charge["id"]
        )

    # --- events ------------------------------------------------------------------------------------------------

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


def _nested(form: dict[str, str], name: str) -> dict[str, str]:
    """Return the values of the parameters `name[key]` in the form, by their key."""
    start = f"{name}["
    return {key[len(start) : -1]: value for key, value in form.items() if key.startswith(start)}
