"""Test that the files of deploy/ha are valid, and that their settings put each acknowledged write on two hosts."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.cluster import program
from tests.deploy.database_hosts import FILES, FIRST_SAFE_PATRONI
from tests.servers.fake_http import FakeHTTP
from tests.servers.portal import ROOT


def patroni() -> Any:
    return yaml.safe_load((FILES / "patroni.yml").read_text())


def test_a_commit_is_acknowledged_by_two_nodes_and_only_they_may_take_over() -> None:
    dcs = patroni()["bootstrap"]["dcs"]

    assert dcs["synchronous_mode"]
    assert dcs["synchronous_mode_strict"]
    # A lagging synchronous standby may take over, because it lacks only writes that were not acknowledged.
    assert dcs["maximum_lag_on_failover"] > 0
    assert dcs["postgresql"]["parameters"]["synchronous_commit"] == "on"


def test_a_primary_without_etcd_becomes_read_only_before_another_takes_over() -> None:
    dcs = patroni()["bootstrap"]["dcs"]

    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]


def test_the_settings_limit_an_outage_to_30_seconds() -> None:
    election_seconds = (
        yaml.safe_load((FILES / "etcd.conf.yml").read_text())["election-timeout"] / 1000
    )
    dcs = patroni()["bootstrap"]["dcs"]
    # An etcd election may take twice its timeout. The new leader then extends the lifetime of the primary's key in etcd
    # by the timeout.
    key_seconds = 3 * election_seconds + dcs["ttl"]

    # After that, the standby is promoted (2 s), HAProxy detects it (1 s), and the connection pool connects to it (2 s).
    assert key_seconds + 2 + 1 + 2 < 30
    # A standby that does not find the new primary waits this long before its next attempt.
    assert dcs["postgresql"]["parameters"]["wal_retrieve_retry_interval"] == "500ms"


def test_patroni_accepts_the_configured_time_to_live() -> None:
    assert patroni()["bootstrap"]["dcs"]["ttl"] >= 20  # Patroni replaces smaller values with 20.


def test_the_locked_patroni_never_overwrites_the_key_of_another_primary() -> None:
    lock = (ROOT / "requirements" / "patroni.txt").read_text()
    found = re.search(r"^patroni==([0-9.]+)", lock, re.MULTILINE)

    assert found
    assert tuple(map(int, found[1].split("."))) >= FIRST_SAFE_PATRONI


def test_haproxy_accepts_its_configuration(tmp_path: Path) -> None:
    haproxy = program("haproxy")
    if not haproxy:
        pytest.skip("haproxy is not installed")
    config = tmp_path / "haproxy.cfg"
    text = (FILES / "haproxy.cfg").read_text()
    for number in (1, 2, 3):
        text = text.replace(f"db{number}.internal", f"127.0.0.{number}")
    config.write_text(text)

    checked = subprocess.run([haproxy, "-c", "-f", config], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr


# --- the guard of the disk ---------------------------------------------------------------------------------


@pytest.fixture
def guard() -> Any:
    spec = importlib.util.spec_from_file_location("disk_guard", FILES / "disk_guard.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config_of(tmp_path: Path) -> dict[str, Any]:
    """Return a Patroni configuration whose pg_ctl only writes its arguments to the file `called`."""
    pg_ctl = tmp_path / "pg_ctl"
    pg_ctl.write_text(f"#!/bin/sh\necho $@ > {tmp_path}/called\n")
    pg_ctl.chmod(0o755)
    return {"name": "db1", "postgresql": {"bin_dir": str(tmp_path), "data_dir": "/data"}}


def test_the_guard_hands_over_through_patroni(guard: Any, fake: FakeHTTP, tmp_path: Path) -> None:
    fake.answer(200, path="/switchover")
    fake.answer(503, path="/primary")

    guard.hand_over(config_of(tmp_path), fake.url.removeprefix("http://"))

    assert fake.requests[0].path == "/switchover"
    assert fake.requests[0].json() == {"leader": "db1"}
    assert not (tmp_path / "called").exists()


def test_the_guard_stops_a_primary_that_does_not_hand_over(
    guard: Any, fake: FakeHTTP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "HANDOVER_SECONDS", 0.0)
    fake.answer(412, path="/switchover")

    guard.hand_over(config_of(tmp_path), fake.url.removeprefix("http://"))

    assert (tmp_path / "called").read_text() == "stop -m immediate -D /data\n"


def test_the_guard_detects_a_nearly_full_disk(
    guard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(free: int) -> Any:
        return lambda folder: type("Usage", (), {"free": free, "total": 100 * 2**30})()

    monkeypatch.setattr(guard.shutil, "disk_usage", usage(3 * 2**30))
    assert not guard.is_nearly_full("/data")
    monkeypatch.setattr(guard.shutil, "disk_usage", usage(1 * 2**30))
    assert guard.is_nearly_full("/data")
    monkeypatch.undo()
    assert not guard.is_nearly_full(str(tmp_path / "missing"))
