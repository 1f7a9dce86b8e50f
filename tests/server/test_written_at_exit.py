"""Test that a web process writes the counts in its memory when it is stopped."""

from collections.abc import Callable

from tests.servers.portal import Portal


def test_the_last_use_of_a_key_is_written_when_the_portal_stops(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal()
    portal.start()
    sql = "SELECT count(*) FROM clients_apikey WHERE last_used_at IS NOT NULL"
    response = portal.client.get("/api/v1/availability/", headers=portal.api)
    assert response.status_code == 200
    assert portal.value(sql) == 0

    portal.restart()

    assert portal.value(sql) == 1
