"""Simulate a Stripe account with failing refunds, disputes, captures and bank debits, which localstripe lacks.

`serve` answers the API calls that the portal makes. The other methods do what buyers, banks and the shop's staff do at
Stripe. Each of them records the events that Stripe would send, in Stripe's order, and returns them. The caller passes
a clock, so that a month can pass in seconds. StripeDouble makes the account available by HTTP.
"""

import copy
from urllib.parse import parse_qsl

from tests.payments.stripe_objects import Object, Refused
from tests.payments.stripe_reversals import Reversals


class StripeAccount(Reversals):
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
        """Create an intent, as another program that uses the account would, and return it."""
        form = {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
        return self._create_intent({"amount": str(amount), "currency": currency, **form})

    def pay(self, intent_id: str, *, amount: int | None = None) -> Object:
        """Pay the intent, and return the event of its success. If `amount` is given, capture only that amount."""
        intent = self._get("payment_intents", intent_id)
        assert intent["status"] not in ("succeeded", "canceled"), intent["status"]
        self._charge(intent, amount or intent["amount"])
        return self.latest("payment_intent.succeeded", intent_id)

    def authorize(self, intent_id: str) -> Object:
        """Reserve the money on the card for a later `capture()`, and return the event."""
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
        """Confirm a bank debit, whose outcome is known days later, and return the event."""
        intent = self._get("payment_intents", intent_id)
        intent["status"] = "processing"
        return self._event("payment_intent.processing", intent)

    def decline(self, intent_id: str) -> Object:
        """Decline the card, or let a bank debit fail, and return the event. The buyer can pay again."""
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


def _nested(form: dict[str, str], name: str) -> dict[str, str]:
    """Return the values of the parameters `name[key]` in the form, by their key."""
    start = f"{name}["
    return {key[len(start) : -1]: value for key, value in form.items() if key.startswith(start)}
