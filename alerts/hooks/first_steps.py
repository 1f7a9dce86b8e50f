from django.db.models import Exists, OuterRef, Q

from alerts.models import Channel, ChannelTest
from core.lib.first_steps import first_step


@first_step(
    "alerts.channel",
    title="Connect a channel and receive a test message",
    text="Channels send messages by e-mail, Slack, SMS and more. “Send a test” in a form shows the provider's "
    "answer. Without EMAIL_HOST or RESEND_API_KEY, e-mails are only printed in the terminal of the portal.",
    action="Add a channel",
    url_name="admin:alerts_channel_add",
    permission="alerts.add_channel",
    order=20,
)
def has_working_channel() -> bool:
    """Return True if a message or a test was delivered through an enabled channel.

    Tests are matched to channels by name and kind, because the test of an unsaved channel has no link to it.
    """
    tested = ChannelTest.objects.filter(
        state=ChannelTest.State.DELIVERED, kind=OuterRef("kind"), name=OuterRef("name")
    )
    return (
        Channel.objects.enabled().filter(Q(last_success_at__isnull=False) | Exists(tested)).exists()
    )


@first_step(
    "alerts.recipients",
    title="Choose who is notified",
    text="Select the channels that get each type of alert, and the people they notify.",
    action="Open the routing table",
    url_name="alerts:routing",
    permission="alerts.change_alerttype",
    order=40,
)
def has_routed_channel() -> bool:
    return Channel.objects.enabled().routed().exists()
