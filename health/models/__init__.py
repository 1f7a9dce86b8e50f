from health.models.backups import Backup, BackupState
from health.models.certificates import Certificate
from health.models.components import (
    RESULT_RETENTION,
    CheckResult,
    Component,
    ComponentKind,
    StatusChoice,
    Uptime,
)
from health.models.heartbeats import CheckIn, CheckInStatus, Heartbeat
from health.models.incidents import Incident, IncidentState, IncidentUpdate
from health.models.maintenance import MaintenanceNotice, MaintenancePhase, MaintenanceWindow
from health.models.measurements import (
    ROLLUP_RETENTION,
    ActiveUser,
    Latency,
    Series,
    SeriesKind,
    SignalBatch,
    Tier,
    Value,
)
from health.models.monitors import Monitor, MonitorStep, RecordType, ValueMatch
from health.models.status_page import (
    DEFAULT_NAME,
    HEX_COLOR,
    MAIN_PAGE,
    IncidentTemplate,
    StatusPage,
)
from health.models.subscribers import MailState, StatusMail, Subscriber, SubscriberKind

__all__ = [
    "DEFAULT_NAME",
    "HEX_COLOR",
    "MAIN_PAGE",
    "RESULT_RETENTION",
    "ROLLUP_RETENTION",
    "ActiveUser",
    "Backup",
    "BackupState",
    "Certificate",
    "CheckIn",
    "CheckInStatus",
    "CheckResult",
    "Component",
    "ComponentKind",
    "Heartbeat",
    "Incident",
    "IncidentState",
    "IncidentTemplate",
    "IncidentUpdate",
    "Latency",
    "MailState",
    "MaintenanceNotice",
    "MaintenancePhase",
    "MaintenanceWindow",
    "Monitor",
    "MonitorStep",
    "RecordType",
    "Series",
    "SeriesKind",
    "SignalBatch",
    "StatusChoice",
    "StatusMail",
    "StatusPage",
    "Subscriber",
    "SubscriberKind",
    "Tier",
    "Uptime",
    "Value",
    "ValueMatch",
]
