"""Test the HTML that the tags of `{% load portal %}` render."""

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client
from django.utils import timezone

from core.lib import formats
from core.lib.charts import Chart, Series, Threshold

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def shown(source: str, **context: object) -> str:
    return Template("{% load portal %}" + source).render(Context(context))


def test_a_severity_is_shown_by_color_shape_and_word() -> None:
    pill = shown("{% severity 'critical' %}")

    assert "pill--critical" in pill
    assert "#critical" in pill
    assert "Critical" in pill


def test_an_unknown_state_gets_a_neutral_pill_and_is_escaped() -> None:
    pill = shown("{% state word %}", word="<b>odd</b>")

    assert "pill--info" in pill
    assert "<b>" not in pill


def test_a_timestamp_has_a_machine_readable_value_and_a_zone() -> None:
    text = shown("{% when moment 'both' %}", moment=NOON)

    assert 'datetime="2026-11-22T12:00:00.000000Z"' in text
    assert "22 Nov 2026, 12:00:00 UTC" in text


def test_a_missing_timestamp_is_a_dash() -> None:
    assert formats.NONE in shown("{% when moment %}", moment=None)


def test_a_chart_contains_its_values_as_data_and_as_a_table() -> None:
    chart = Chart(
        "Response time",
        [NOON, NOON + timedelta(minutes=1)],
        [Series("p95", [240, None])],
        unit="ms",
        thresholds=[Threshold(1000, "slow")],
    )

    text = html.unescape(shown("{% chart chart %}", chart=chart))

    assert '"values": [240, null]' in text
    assert '"label": "slow"' in text
    assert "240 ms" in text
    assert formats.NONE in text
    assert "style=" not in text


def test_the_table_of_a_chart_lists_the_newest_slot_first_in_the_current_zone_with_links_to_intervals() -> (
    None
):
    def times(chart: Chart) -> list[str]:
        return re.findall(
            r'<th scope="row">(.*?)</th>', html.unescape(shown("{% chart c %}", c=chart))
        )

    slots = [NOON, NOON + timedelta(minutes=15)]
    plain = Chart("Errors", slots, [Series("Errors", [1, 2])])
    linked = replace(plain, interval_url="/interval/")

    in_utc = times(plain)
    with timezone.override("Europe/Berlin"):
        in_berlin = times(plain)

    assert ["12:15:00 UTC" in in_utc[0], "12:00:00 UTC" in in_utc[1]] == [True, True]
    assert ["13:15:00 CET" in in_berlin[0], "13:00:00 CET" in in_berlin[1]] == [True, True]
    assert [re.findall(r"\?.*?(?=\")", time) for time in times(linked)] == [
        ["?since=1795349700&until=1795350600"],
        ["?since=1795348800&until=1795349700"],
    ]


def test_a_chart_without_data_says_so() -> None:
    assert "No data for this period yet." in shown(
        "{% chart chart %}", chart=Chart("Errors", [], [])
    )


def test_chart_labels_are_escaped() -> None:
    chart = Chart("x", [NOON], [Series("'\"><script>alert(1)</script>", [1])])

    assert "<script>alert" not in shown("{% chart chart %}", chart=chart)


def test_a_sparkline_needs_no_script_and_no_style() -> None:
    text = shown("{% sparkline values 'Errors' %}", values=[0, 3, 1])

    assert text.count("M") == 3  # The path has the baseline and two bars.
    assert 'aria-label="Errors"' in text
    assert "style=" not in text


def test_a_sparkline_of_levels_has_gaps_where_no_value_is_known() -> None:
    text = shown("{% sparkline values 'p95' 'line' %}", values=[None, 4, 2, None, 4])

    drawn = re.findall(r'd="([^"]*)"', text)[-1]
    assert re.sub(r"[\d. ]+", " ", drawn) == "M L M "


def test_a_meter_warns_near_its_limit() -> None:
    assert "meter--warning" in shown("{% meter 85 100 %}")
    assert "meter--critical" in shown("{% meter 120 100 %}")


def test_a_post_button_is_a_form_with_its_token_and_fields() -> None:
    text = shown("{% post_button '/x' 'Dismiss' id=7 %}", csrf_token="token")

    assert 'method="post"' in text
    assert 'value="token"' in text
    assert 'name="id" value="7"' in text


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/", "/admin/auth/user/", "/admin/auth/user/add/"])
def test_staff_pages_have_the_navigation_and_comply_with_the_csp(client: Client, path: str) -> None:
    client.force_login(User.objects.create_superuser("owner"))

    text = client.get(path).content.decode()

    assert 'aria-label="Main"' in text
    assert "opsportal/portal" in text
    assert "<style" not in text
    assert " style=" not in text
    assert "onclick=" not in text
