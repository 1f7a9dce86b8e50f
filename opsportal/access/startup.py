from datetime import datetime

from opsportal.access.roles import ensure_roles
from opsportal.lib.startup import on_start


@on_start("access.roles")
def roles(now: datetime) -> None:
    ensure_roles()
