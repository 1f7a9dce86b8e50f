from alerts.models.advice import RuleAdvice
from alerts.models.alert import (
    ACTIVE_STATES,
    UNRESOLVED_STATES,
    AlertEvent,
    AlertState,
    SystemAlert,
)
from alerts.models.channel import Channel, ChannelTest
from alerts.models.dependency import Dependency
from alerts.models.digest import DigestMention, DigestRun
from alerts.models.notification import (
    FIRING_KINDS,
    LEASE_DURATION,
    UNFINISHED_STATES,
    DeliveryAttempt,
    Notification,
    NotificationState,
)
from alerts.models.on_call import (
    NotificationRule,
    Rotation,
    RotationMember,
    Schedule,
    ScheduleOverride,
    TurnUnit,
)
from alerts.models.people import Person, Team
from alerts.models.rule import (
    AlertRule,
    AlertType,
    EscalationStep,
    RuleReading,
)
from alerts.models.silence import Recurrence, Silence

__all__ = [
    "ACTIVE_STATES",
    "FIRING_KINDS",
    "LEASE_DURATION",
    "UNFINISHED_STATES",
    "UNRESOLVED_STATES",
    "AlertEvent",
    "AlertRule",
    "AlertState",
    "AlertType",
    "Channel",
    "ChannelTest",
    "DeliveryAttempt",
    "Dependency",
    "DigestMention",
    "DigestRun",
    "EscalationStep",
    "Notification",
    "NotificationRule",
    "NotificationState",
    "Person",
    "Recurrence",
    "Rotation",
    "RotationMember",
    "RuleAdvice",
    "RuleReading",
    "Schedule",
    "ScheduleOverride",
    "Silence",
    "SystemAlert",
    "Team",
    "TurnUnit",
]
