from health.models.components import (
    RAW_KEPT,
    CheckResult,
    Component,
    ComponentKind,
    StatusChoice,
    Uptime,
)
from health.models.measurements import (
    KEPT,
    ActiveUser,
    Latency,
    Series,
    SeriesKind,
    SignalBatch,
    Tier,
    Value,
    tier_for,
)

__all__ = [
    "KEPT",
    "RAW_KEPT",
    "ActiveUser",
    "CheckResult",
    "Component",
    "ComponentKind",
    "Latency",
    "Series",
    "SeriesKind",
    "SignalBatch",
    "StatusChoice",
    "Tier",
    "Uptime",
    "Value",
    "tier_for",
]
