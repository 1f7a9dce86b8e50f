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
    "ActiveUser",
    "Latency",
    "Series",
    "SeriesKind",
    "SignalBatch",
    "Tier",
    "Value",
    "tier_for",
]
