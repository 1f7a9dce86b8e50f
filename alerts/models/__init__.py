from alerts.models.alert import ACTIVE, OWNS_ITS_KEY, AlertEvent, AlertState, SystemAlert
from alerts.models.channel import Channel
from alerts.models.digest import DigestMention, DigestRun
from alerts.models.notification import (
    LEASE,
    UNFINISHED,
    DeliveryAttempt,
    Notification,
    NotificationState,
)
from alerts.models.people import Person, Team
from alerts.models.rule import (
    AlertRule,
    AlertType,
    Cadence,
    EscalationStep,
    NoData,
    RuleReading,
)
from alerts.models.silence import Recurrence, Silence

__all__ = [
    "ACTIVE",
    "LEASE",
    "OWNS_ITS_KEY",
    "UNFINISHED",
    "AlertEvent",
    "AlertRule",
    "AlertState",
    "AlertType",
    "Cadence",
    "Channel",
    "DeliveryAttempt",
    "DigestMention",
    "DigestRun",
    "EscalationStep",
    "NoData",
    "Notification",
    "NotificationState",
    "Person",
    "Recurrence",
    "RuleReading",
    "Silence",
    "SystemAlert",
    "Team",
]
