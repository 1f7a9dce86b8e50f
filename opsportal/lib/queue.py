"""The queue is a nudge; the row is the truth. The only file that knows django-q2."""

import logging
from typing import Any

from django.db import transaction
from django.utils.module_loading import import_string
from django_q.tasks import async_task

from opsportal.lib import request_id

log = logging.getLogger(__name__)


def enqueue(task: str, **ids: int | str) -> None:
    """Run `task` (a dotted path) in a worker once the current transaction has committed.

    Feed it ids only. A nudge can be lost or come twice: a scheduled sweep must pick up what was left behind.
    """
    carried = request_id.current()

    def put() -> None:
        try:
            async_task(
                "opsportal.lib.queue.run", task, carried, ids, q_options={"task_name": task[:100]}
            )
        except Exception:
            # The row is committed; the sweep will find it. Losing the nudge must not fail the request.
            log.exception("nudge lost", extra={"task": task})

    transaction.on_commit(put)


def run(task: str, carried_request_id: str, ids: dict[str, Any]) -> object:
    """What a worker calls: the task under the request id of the request that asked for it."""
    with request_id.use(carried_request_id):
        return import_string(task)(**ids)
