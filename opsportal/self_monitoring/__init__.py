"""The portal is its own first registered app: how long its requests take, and what breaks in it, is recorded like anybody's.

Nothing here may slow a request or raise into it. What was noticed waits in memory and is written by the background
thread; what cannot be written is dropped and counted.
"""

from opsportal.self_monitoring.errors import install
from opsportal.self_monitoring.requests import record_request

__all__ = ["install", "record_request"]
