"""Test that a running portal records its own requests and errors within seconds."""

from tests.servers.portal import Portal

OWN_REQUESTS = """
SELECT COALESCE(SUM(l.count), 0) FROM health_latency l JOIN health_series s ON s.id = l.series_id
JOIN clients_clientapp a ON a.id = s.app_id WHERE a.slug = 'opsportal' AND l.tier = 60
"""
OWN_EVENTS = """
SELECT COUNT(*) FROM errors_errorevent e JOIN clients_clientapp a ON a.id = e.app_id
WHERE a.slug = 'opsportal'
"""
FAIL = """
import logging
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("shop").exception("the till is broken")
"""


def test_requests_to_the_portal_are_measured(portal: Portal) -> None:
    for _ in range(5):
        assert portal.client.get("/admin/login/").status_code == 200

    portal.wait_for(lambda: portal.value(OWN_REQUESTS) == 5, what="five requests in the roll-up")


def test_an_error_in_a_command_is_recorded_before_it_ends(portal: Portal) -> None:
    ran = portal.manage("shell", "--no-imports", "-c", FAIL)

    assert ran.returncode == 0, ran.stderr
    assert portal.value(OWN_EVENTS) == 1
