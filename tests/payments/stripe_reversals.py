"""Simulate refunds and disputes, whose outcome can change for months after the payment."""

from tests.payments.stripe_objects import DAY, Object, Refused, StripeObjects

EVIDENCE_DAYS = 9


class Reversals(StripeObjects):
    # --- refunds --------------------------------------------------------------------------------------------

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

    # --- disputes -------------------------------------------------------------------------------------------

    def dispute(self, intent_id: str, *, is_inquiry: bool = False) -> list[Object]:
        """Let the buyer's bank open a dispute or, if `is_inquiry` is set, an inquiry. Return the events."""
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
            dispute["balance_transactions"].append(
                {"amount": dispute["amount"], "created": self.now}
            )
            self._event("charge.dispute.funds_reinstated", dispute)
        return self.events[start:]

    def _withdraw(self, dispute: Object) -> None:
        dispute["balance_transactions"].append({"amount": -dispute["amount"], "created": self.now})
        self._event("charge.dispute.funds_withdrawn", dispute)

    def _is_refundable(self, charge: Object) -> bool:
        return all(
            dispute["is_charge_refundable"] or dispute["status"] == "won"
            for dispute in self.disputes.values()
            if dispute["charge"] == charge["id"]
        )
