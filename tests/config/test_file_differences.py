"""Test which differences between the file and the portal `manage.py config apply` reports."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from alerts.channels import TRANSPORTS
from alerts.models import (
    AlertRule,
    Channel,
    Person,
    RotationMember,
)
from core.config import secrets, services, sync, yaml_files
from core.config.extension_points import registry
from health.models import Monitor
from tests.config.commands import KINDS, SECRET, apply_text, run
from tests.config.objects import EXISTING, KEPT, OBJECTS, make_prerequisites

pytestmark = pytest.mark.django_db


def test_a_changed_secret_is_a_difference_that_is_not_shown(
    applied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied.write_text(run("export"))
    other = "https://93.184.215.14/services/T0/B0/other"
    monkeypatch.setenv("CHANNELS_OPS_SETTINGS_WEBHOOK_URL", other)

    shown = run("apply", str(applied), "--yes")

    assert "~ channels “Ops”" in shown
    assert "[changed secret]" in shown
    assert "B0" not in shown
    assert Channel.objects.get(name="Ops").config == {"webhook_url": other}


def test_drift_is_shown_and_check_exits_with_2(applied: Path) -> None:
    AlertRule.objects.filter(name="custom.stock").update(threshold=11)

    out = io.StringIO()
    with pytest.raises(SystemExit) as stopped:
        call_command("config", "apply", str(applied), "--check", stdout=out)

    assert stopped.value.code == 2
    assert "~ rules “custom.stock”\n    threshold: 11.0 → 10.0" in out.getvalue()
    assert AlertRule.objects.get(name="custom.stock").threshold == 11


def test_200_objects_applied_twice_change_nothing_the_second_time(
    tmp_path: Path, django_assert_max_num_queries: Any
) -> None:
    make_prerequisites()
    objects: dict[str, list[dict[str, Any]]] = {
        kind: [
            {**OBJECTS[kind][0], key: f"{OBJECTS[kind][0][key]}-{number}"}
            for number in range(25)
            for key in [registry.get(kind).key]
        ]
        if kind not in KEPT
        else []
        for kind in KINDS
    }
    for kind in KINDS:
        objects[kind].append(OBJECTS[kind][0])
    for heartbeat in objects["heartbeats"]:
        heartbeat["slug"] = heartbeat["name"]
    for rotation in objects["rotations"]:
        rotation["name"] = rotation["reference"]
    for number, rule in enumerate(objects["notification-rules"]):
        rule["after"] = f"{number} min"
    assert sum(len(found) for found in objects.values()) >= 200
    text = yaml_files.dump(objects)

    first = apply_text(tmp_path / "f.yaml", text, "--yes")
    with django_assert_max_num_queries(100):
        second = apply_text(tmp_path / "f.yaml", text, "--yes")

    count = sum(len(found) for found in objects.values())
    assert f"{count - len(EXISTING)} to create" in first
    assert f"0 to create, 0 to change, 0 to delete, {count} unchanged" in second


STEPS = """
monitors:
  - name: checkout
    steps:
      - name: Sign in
        url: https://93.184.215.14/login
      - {position: 2, name: Look, url: https://93.184.215.14/look}
rotations:
  - reference: primary-week
    members: [{person: ann}, {person: bob}]
    handover_at: "09:30:00"
types:
  - slug: shop-down
    respond_within: 900 s
    channels: [Ops, Alarms]
    steps:
      - {after: 60 min, channels: [Ops, Alarms, Ops]}
      - {after: 900 s, people: [bob, ann]}
overrides:
  - {reference: holiday, starts_at: "2026-12-01T02:00:00+01:00"}
channels:
  - name: Ops
    settings: {webhook_url: "https://93.184.215.14/services/T0/B0/secret", bot_token: ""}
people:
  - {reference: ann, name: " Ann Lee "}
"""


def test_members_that_are_left_out_or_written_differently_are_no_difference(
    applied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Person.objects.create(name="Bob", reference="bob")
    Channel.objects.create(name="Alarms", kind="slack", config={"webhook_url": SECRET})
    known = TRANSPORTS["slack"].fields
    text = STEPS.replace("bot_token", next(one.name for one in known if one.name != "webhook_url"))
    apply_text(applied, text, "--yes")
    document = yaml_files.load(text)
    resolved = {
        kind: [secrets.resolve(one, {}) for one in found] for kind, found in document.items()
    }

    assert not sync._differs(resolved, is_pruning=False)
    again = apply_text(applied, text, "--check")
    assert "0 to create, 0 to change, 0 to delete" in again
    assert [m.person.reference for m in RotationMember.objects.order_by("position")] == [
        "ann",
        "bob",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: Look", "name: Watch"),
        ("[{person: ann}, {person: bob}]", "[{person: bob}, {person: ann}]"),
        ("[{person: ann}, {person: bob}]", "[{person: ann}]"),
        ("09:30:00", "09:31:00"),
        ("900 s, people", "901 s, people"),
        ("[Ops, Alarms, Ops]", "[Ops]"),
        ("02:00:00+01:00", "02:00:00+02:00"),
        ("Ann Lee", "Ann Law"),
    ],
)
def test_each_real_difference_is_found(applied: Path, old: str, new: str) -> None:
    Person.objects.create(name="Bob", reference="bob")
    Channel.objects.create(name="Alarms", kind="slack", config={"webhook_url": SECRET})
    text = STEPS.replace(', bot_token: ""', "")
    apply_text(applied, text, "--yes")
    assert old in text

    with pytest.raises(SystemExit) as stopped:
        apply_text(applied, text.replace(old, new), "--check")

    assert stopped.value.code == 2


def test_steps_without_a_position_run_in_the_order_of_the_file(applied: Path) -> None:
    apply_text(applied, STEPS.replace(', bot_token: ""', "").split("rotations:")[0], "--yes")
    steps = Monitor.objects.get().steps.values_list("position", "name")
    assert list(steps) == [(1, "Sign in"), (2, "Look")]


def test_an_update_with_the_same_value_in_another_spelling_is_no_change(applied: Path) -> None:
    rule = AlertRule.objects.get(name="custom.stock")
    resource = registry.get("rules")

    change = services.update(resource, rule, {"window": "900 s"}, by="")

    assert change.action is services.Action.KEEP
