"""Register the alert types of reservations with their default channels and response times."""

from datetime import timedelta

from alerts.extension_points import TEAM_CHANNELS, Severity, alert_type

LOW_INVENTORY = "low-inventory"

alert_type(
    LOW_INVENTORY,
    name="Low inventory",
    severity=Severity.HIGH,
    respond_within=timedelta(hours=2),
    channels=("email",),
    escalate_to=TEAM_CHANNELS,
)

# The severity of the types below determines their response time and channels.
alert_type("inventory-drift", name="Inventory drift", severity=Severity.CRITICAL)
alert_type("money-without-seat", name="Money without seat", severity=Severity.HIGH)
alert_type("seat-and-money-differ", name="Seat and money differ", severity=Severity.HIGH)
