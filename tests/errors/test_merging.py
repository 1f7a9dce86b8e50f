from datetime import timedelta

import pytest

from core.clients.models import ClientApp
from errors.exceptions import CannotMerge
from errors.models import GroupNote
from errors.queries import pages
from errors.services import merging
from errors.store.groups import group_cache
from tests.errors.stored import NOON, group_of, make_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    group_cache.clear()
    return make_app()


def test_merged_groups_are_shown_as_one_and_receive_further_events(app: ClientApp) -> None:
    one = make_error(app, group="a", user_key="u1", tags=(("browser", "Firefox"),))
    other = make_error(app, group="b", user_key="u1", received_at=NOON + timedelta(hours=1))
    make_error(app, group="b", user_key="u2")

    kept = merging.merge_groups([group_of(other), group_of(one)], user=None, now=NOON)
    group_cache.clear()
    later = make_error(app, group="b", user_key="u3")

    kept.refresh_from_db()
    assert kept.pk == one.group_id == later.group_id
    assert (kept.event_count, kept.user_count) == (4, 3)
    assert kept.last_seen_at == NOON + timedelta(hours=1)
    assert pages.latest_events(kept).count() == 4
    assert pages.neighbors(other).older is not None
    assert not group_of(other).__class__.objects.visible().filter(pk=other.group_id).exists()
    assert GroupNote.objects.get(group=kept).kind == "merged"


@pytest.mark.parametrize(
    ("oldest", "newer"), [("warning", "critical"), ("critical", "warning"), ("info", "high")]
)
def test_a_merged_group_is_as_severe_as_its_worst_part(
    app: ClientApp, oldest: str, newer: str
) -> None:
    one = make_error(app, group="a", severity=oldest)
    other = make_error(app, group="b", severity=newer, received_at=NOON + timedelta(hours=1))

    kept = merging.merge_groups([group_of(one), group_of(other)], user=None, now=NOON)

    kept.refresh_from_db()
    assert kept.pk == one.group_id
    assert kept.severity == max(oldest, newer, key=["info", "warning", "high", "critical"].index)


def test_an_unmerge_restores_the_earlier_groups(app: ClientApp) -> None:
    one, other = make_error(app, group="a"), make_error(app, group="b", user_key="u2")
    kept = merging.merge_groups([group_of(one), group_of(other)], user=None, now=NOON)

    merging.unmerge_group(group_of(other), user=None, now=NOON)
    group_cache.clear()
    again = make_error(app, group="b")

    kept.refresh_from_db()
    assert again.group_id == other.group_id
    assert (kept.event_count, kept.user_count) == (1, 0)
    assert group_of(other).event_count == 2


def test_a_process_with_an_outdated_cache_stores_events_in_the_merged_group(app: ClientApp) -> None:
    one, other = make_error(app, group="a"), make_error(app, group="b")
    outdated = dict(group_cache._entries)

    merging.merge_groups([group_of(one), group_of(other)], user=None, now=NOON)
    group_cache._entries.update(outdated)

    assert make_error(app, group="b").group_id == one.group_id


def test_a_merge_of_merged_groups_results_in_one_group(app: ClientApp) -> None:
    events = [make_error(app, group=name) for name in "abc"]
    middle = merging.merge_groups([group_of(events[1]), group_of(events[2])], user=None, now=NOON)

    kept = merging.merge_groups([group_of(events[0]), middle], user=None, now=NOON)

    assert set(kept.family) == {event.group_id for event in events}
    assert kept.event_count == 3


def test_groups_of_different_apps_cannot_be_merged(app: ClientApp) -> None:
    one, other = make_error(app), make_error(make_app())

    with pytest.raises(CannotMerge):
        merging.merge_groups([group_of(one), group_of(other)], user=None, now=NOON)
    with pytest.raises(CannotMerge):
        merging.merge_groups([group_of(one)], user=None, now=NOON)
