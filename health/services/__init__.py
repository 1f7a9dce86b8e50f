"""Export the services that other apps may call."""

from health.services.certificates import check_certificates
from health.services.checks import run_checks
from health.services.gauges import record_gauges
from health.services.heartbeats import (
    TooManyHeartbeats,
    parse_config,
    record_check_in,
    sweep_heartbeats,
)
from health.services.measurements import record_measurements
from health.services.results import record_results
from health.services.retention import prune

__all__ = [
    "TooManyHeartbeats",
    "check_certificates",
    "parse_config",
    "prune",
    "record_check_in",
    "record_gauges",
    "record_measurements",
    "record_results",
    "run_checks",
    "sweep_heartbeats",
]
