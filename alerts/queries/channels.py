"""Describe the state, the routes and the tests of channels for the pages."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from alerts.channels import list_missing_fields
from alerts.models import AlertType, Channel, ChannelTest, Person
from core.lib import formats

# If a test waits longer than this, the page asks staff to check that a worker is running.
TEST_PATIENCE_PERIOD = timedelta(seconds=15)


def describe_channel_state(channel: Channel) -> str:
    """Return the state of the channel in words. For a failing or disabled channel, the text contains the reason."""
    if not channel.is_enabled:
        reason = channel.disabled_reason
        return f"disabled: {reason}" if reason else "disabled"
    missing = list_missing_fields(channel)
    if missing:
        return f"not configured: {', '.join(missing)}"
    if channel.failing_since:
        return f"failing since {formats.stamp(channel.failing_since)}: {channel.last_error}"
    return "working" if channel.last_success_at else "configured, but nothing was sent yet"


def describe_routes(channel: Channel) -> str:
    """Return a description of the alerts that the channel gets, such as "every type" or "3 types"."""
    if channel.gets_every_type:
        return "every type"
    count = channel.alert_types.count()
    if count:
        return f"{count} type{'' if count == 1 else 's'}"
    if Channel.objects.routed().filter(pk=channel.pk).exists():
        return "escalations only"
    return "none: no alert type is routed here"


def list_unrouted_channels() -> list[Channel]:
    """Return the enabled, configured channels that no alert type and no escalation step is routed to."""
    unrouted = Channel.objects.enabled().exclude(pk__in=Channel.objects.routed().values("pk"))
    return [channel for channel in unrouted.order_by("name") if not list_missing_fields(channel)]


def has_usable_channel() -> bool:
    """Return True if at least one channel is enabled and configured."""
    return any(not list_missing_fields(channel) for channel in Channel.objects.enabled())


@dataclass(frozen=True)
class TestLine:
    """A test message to a channel, with its result as a sentence."""

    test: ChannelTest
    text: str
    tone: str
    is_waiting: bool
    # If True, the channel works but no alert type is routed to it, so the page offers to route all types.
    offers_routes: bool


def describe_test(test: ChannelTest | None) -> TestLine | None:
    if test is None:
        return None
    match test.state:
        case ChannelTest.State.DELIVERED:
            text, tone = f"Delivered to {test.name} ({test.answer or 'accepted'})", "ok"
        case ChannelTest.State.REFUSED:
            text, tone = f"Not delivered to {test.name}: {test.answer}", "critical"
        case _ if timezone.now() - test.created_at > TEST_PATIENCE_PERIOD:
            text = (
                f"Waiting for a worker to send the test to {test.name}. Check that one is running."
            )
            tone = "warning"
        case _:
            text, tone = f"Sending a test to {test.name} …", "info"
    is_delivered = test.state == ChannelTest.State.DELIVERED
    return TestLine(
        test=test,
        text=text,
        tone=tone,
        is_waiting=not test.is_done,
        offers_routes=is_delivered
        and test.channel_id is not None
        and not Channel.objects.routed().filter(pk=test.channel_id).exists(),
    )


def describe_tests(row: AlertType | Person) -> list[TestLine]:
    """Return the results of the latest test of an alert type or a person, one for each channel."""
    tests = ChannelTest.objects.filter(subject=subject_of(row))
    newest = tests.order_by("-created_at").first()
    if newest is None:
        return []
    lines = map(describe_test, tests.filter(created_at=newest.created_at).order_by("pk"))
    return [line for line in lines if line is not None]


def subject_of(row: AlertType | Person) -> str:
    """Return the value of `ChannelTest.subject` for an alert type or a person."""
    return f"{row._meta.model_name}-{row.pk}"


# --- the routing table ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RoutingRow:
    """One alert type with a cell for each channel."""

    alert_type: AlertType
    cells: tuple["RoutingCell", ...]


@dataclass(frozen=True)
class RoutingCell:
    channel: Channel
    name: str  # The name of the cell's input, in the form "<type>-<channel>".
    is_routed: bool


@dataclass(frozen=True)
class RoutingTable:
    channels: tuple[tuple[Channel, str], ...]  # Each channel with a description of its state.
    rows: tuple[RoutingRow, ...]
    unrouted: tuple[Channel, ...]


def build_routing_table() -> RoutingTable:
    """Return a table that shows which channels get the alerts of each type."""
    channels = list(Channel.objects.order_by("name"))
    types = AlertType.objects.prefetch_related("channels").order_by("name")
    return RoutingTable(
        channels=tuple((channel, describe_channel_state(channel)) for channel in channels),
        rows=tuple(
            RoutingRow(alert_type, tuple(_build_cells(alert_type, channels)))
            for alert_type in types
        ),
        unrouted=tuple(list_unrouted_channels()),
    )


def _build_cells(alert_type: AlertType, channels: Iterable[Channel]) -> Iterable[RoutingCell]:
    routed = {channel.pk for channel in alert_type.channels.all()}
    for channel in channels:
        yield RoutingCell(channel, f"{alert_type.pk}-{channel.pk}", channel.pk in routed)
