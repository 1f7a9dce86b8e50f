from datetime import datetime

from core.clients.services import ensure_portal_app
from core.lib.startup import on_start


@on_start("clients.portal_app")
def portal_app(now: datetime) -> None:
    ensure_portal_app()
