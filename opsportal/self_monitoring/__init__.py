"""Record the portal's own request durations and errors under an app named "opsportal".

Recording must neither slow a request down nor raise an exception in it. Records are collected in memory and written by
the background thread. Records that cannot be written are dropped and counted.
"""

from opsportal.self_monitoring.errors import install
from opsportal.self_monitoring.requests import record_request

__all__ = ["install", "record_request"]
