"""Register the alert types of payments. The severity of an alert determines its response time and channels."""

from alerts.extension_points import Severity, alert_type

alert_type("dead-webhook", name="Dead webhook", severity=Severity.CRITICAL)
alert_type("payment-dispute", name="Payment dispute", severity=Severity.HIGH)
alert_type("payment-fault", name="Payment fault", severity=Severity.HIGH)
alert_type("payment-mismatch", name="Payment mismatch", severity=Severity.HIGH)
alert_type("stripe-key-refused", name="Stripe key refused", severity=Severity.CRITICAL)
alert_type("webhooks-missing", name="Webhooks missing", severity=Severity.WARNING)
