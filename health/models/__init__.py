from health.models.backups import Backup, BackupState
from health.models.components import (
    RAW_KEPT,
    CheckResult,
    Component,
    ComponentKind,
    StatusChoice,
    Uptime,
)
from health.models.heartbeats import CheckIn, CheckInStatus, Heartbeat
from health.models.incidents import Incident, IncidentState, IncidentUpdate
from health.models.maintenance import MaintenanceWindow
from health.models.measurements import (
    KEPT,
    ActiveUser,
    Latency,
    Series,
    SeriesKind,
    SignalBatch,
    Tier,
    Value,
)
from health.models.monitors import Monitor
from health.models.subscribers import MailState, StatusMail, Subscriber

__all__ = [
    "KEPT",
    "RAW_KEPT",
    "ActiveUser",
    "Backup",
    "BackupState",
    "CheckIn",
    "CheckInStatus",
    "CheckResult",
    "Component",
    "ComponentKind",
    "Heartbeat",
    "Incident",
    "IncidentState",
    "IncidentUpdate",
    "Latency",
    "MailState",
    "MaintenanceWindow",
    "Monitor",
    "Series",
    "SeriesKind",
    "SignalBatch",
    "StatusChoice",
    "StatusMail",
    "Subscriber",
    "Tier",
    "Uptime",
    "Value",
]
