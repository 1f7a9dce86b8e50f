from datetime import datetime

from core.accounts.services.roles import ensure_roles
from core.lib.startup import on_start


@on_start("access.roles")
def roles(now: datetime) -> None:
    ensure_roles()
