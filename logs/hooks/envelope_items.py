"""Handle envelope items of type `log`: https://develop.sentry.dev/sdk/telemetry/logs/."""

from errors.exceptions import OverQuota
from errors.extension_points import ReceivedItem, item_type
from logs import services
from logs.records import Record, read_sentry_item

MAX_LOGS = 1_000  # Further records of an item are discarded. SDKs send at most 100.


@item_type("log", limit=4 * 1024 * 1024, is_container=True)
def logs(item: ReceivedItem) -> None:
    """Store the log records of an item. Raises KeyError or TypeError if the item has no list `items`.

    Records that are invalid, over the quota or beyond MAX_LOGS are counted as discarded.
    """
    listed = item.payload["items"]
    if not isinstance(listed, list):
        raise TypeError("`items` is not a list")
    if len(listed) > MAX_LOGS:
        services.count_invalid(item.project, "more than 1,000 at once", len(listed) - MAX_LOGS)
    records: list[Record] = []
    for given in listed[:MAX_LOGS]:
        try:
            records.append(read_sentry_item(given))
        except ValueError as error:
            services.count_invalid(item.project, str(error))
    if not records:
        return
    try:
        services.check_quota(item.project, len(records))
    except OverQuota:
        return
    services.record_logs(records, project=item.project, now=item.now)
