import multiprocessing

from pytest_django import Settings

from core.lib import lease_owner


def owner_of_another_process() -> str:
    """Return a lease owner that was created by a process that has ended."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        owner: str = pool.apply(lease_owner.new_owner)
    return owner


def test_a_running_process_is_not_dead() -> None:
    owner = lease_owner.new_owner()

    assert not lease_owner.is_dead(owner)
    assert len(owner) <= lease_owner.MAX_LENGTH


def test_a_process_that_has_ended_is_dead() -> None:
    assert lease_owner.is_dead(owner_of_another_process())


def test_a_process_from_before_a_restart_of_the_machine_is_dead() -> None:
    machine, _, process, random = lease_owner.new_owner().split(":")

    assert lease_owner.is_dead(f"{machine}:earlier:{process}:{random}")


def test_a_reused_process_id_does_not_hide_the_death_of_a_process() -> None:
    machine, boot, process, random = lease_owner.new_owner().split(":")
    pid = process.partition(".")[0]

    assert lease_owner.is_dead(f"{machine}:{boot}:{pid}.1:{random}")


def test_a_process_on_another_machine_is_never_reported_as_dead(settings: Settings) -> None:
    _, boot, _, random = lease_owner.new_owner().split(":")

    assert not lease_owner.is_dead(f"another:{boot}:999999.1:{random}")
    assert not lease_owner.is_dead("0123456789abcdef0123456789abcdef")
    assert not lease_owner.is_dead("")
