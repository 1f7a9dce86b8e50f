"""`manage.py config export` and `config apply`: a file is the configuration."""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from alerts.channels import TRANSPORTS
from alerts.models import (
    AlertRule,
    AlertType,
    Channel,
    EscalationStep,
    Person,
    RotationMember,
    Team,
)
from core.accounts.models import AuditEvent
from core.config import secrets, services, sync, yaml_files
from core.config.extension_points import registry
from core.config.values import resources_in_order
from health.models import Monitor
from tests.config.objects import OBJECTS, make_prerequisites

pytestmark = pytest.mark.django_db
KINDS = [resource.kind for resource in resources_in_order() if resource.is_in_files]
ROOT = Path(__file__).resolve().parents[2]
SECRET = "https://93.184.215.14/services/T0/B0/secret"


def run(*arguments: str) -> str:
    out = io.StringIO()
    try:
        call_command("config", *arguments, stdout=out, stderr=io.StringIO())
    finally:
        print(out.getvalue())  # shown if the test fails
    return out.getvalue()


def apply_text(path: Path, text: str, *options: str) -> str:
    path.write_text(text)
    return run("apply", str(path), *options)


def failing(*arguments: str) -> str:
    """Return what a command that fails writes."""
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("config", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one object of each kind that files have."""
    make_prerequisites()
    path = tmp_path / "monitoring.yaml"
    path.write_text(yaml_files.dump({kind: [OBJECTS[kind][0]] for kind in KINDS}))
    return path


@pytest.fixture
def applied(file: Path) -> Path:
    run("apply", str(file), "--yes")
    return file


def test_a_file_creates_one_object_of_each_kind_and_then_changes_nothing(file: Path) -> None:
    first = run("apply", str(file), "--yes")
    earlier = AuditEvent.objects.count()
    second = run("apply", str(file), "--yes")

    assert f"Plan: {len(KINDS)} to create, 0 to change, 0 to delete, 0 unchanged." in first
    assert f"0 to create, 0 to change, 0 to delete, {len(KINDS)} unchanged." in second
    assert AuditEvent.objects.count() == earlier


def test_an_export_that_is_applied_changes_nothing_and_is_exported_again(applied: Path) -> None:
    exported = run("export")
    applied.write_text(exported)

    again = run("apply", str(applied), "--check")

    assert "0 to create, 0 to change, 0 to delete" in again
    assert run("export") == exported
    assert {kind for kind in yaml.safe_load(exported) if kind != "version"} >= set(KINDS) - {
        "silences",
        "maintenance-windows",
    }


def test_an_export_restores_everything_in_an_empty_portal(
    applied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = EscalationStep.objects.filter(schedules=None, people=None, teams=None, channels=None)
    nobody.delete()  # the form requires a target
    exported = run("export")
    for resource in reversed(resources_in_order()):
        for row in resource.rows():
            with contextlib.suppress(services.CannotDelete):
                services.delete(resource, row, by="")
    monkeypatch.setenv("CHANNELS_OPS_SETTINGS_WEBHOOK_URL", SECRET)
    monkeypatch.setenv("MONITORS_CHECKOUT_HEADERS_AUTHORIZATION", "Bearer s3cret")

    apply_text(applied, exported, "--yes")

    assert run("export") == exported
    assert Channel.objects.get(name="Ops").config == {"webhook_url": SECRET}
    assert Monitor.objects.get().headers == {
        "Accept": "text/html",
        "Authorization": "Bearer s3cret",
    }


def test_secrets_are_exported_as_references_and_never_shown(applied: Path) -> None:
    shown = run("export") + run("apply", str(applied), "--check")

    assert "${CHANNELS_OPS_SETTINGS_WEBHOOK_URL}" in shown
    assert "Authorization: ${MONITORS_CHECKOUT_HEADERS_AUTHORIZATION}" in shown
    assert "Accept: text/html" in shown
    assert "secret" not in shown.lower().replace("[changed secret]", "")
    assert "s3cret" not in shown


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


def test_references_stand_for_variables_files_and_parts_of_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("from-file\n")
    given = {
        "a": "Bearer ${TOKEN}",
        "b": f"${{file:{tmp_path}/token}}",
        "c": ["$${TOKEN} ${TOKEN}"],
    }

    found = secrets.resolve(given, {"TOKEN": "t"})

    assert found == {"a": "Bearer t", "b": "from-file", "c": ["${TOKEN} t"]}


def test_a_text_with_the_form_of_a_reference_survives_export_and_apply(applied: Path) -> None:
    AlertRule.objects.filter(name="custom.stock").update(runbook="echo ${HOME}")

    applied.write_text(run("export"))

    assert "$${HOME}" in applied.read_text()
    assert "0 to change" in run("apply", str(applied), "--check")


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("${NOT_SET}", "the environment variable NOT_SET is not set"),
        ("${file:/nowhere/token}", "/nowhere/token cannot be read"),
        ("[hidden]", "enter the value"),
    ],
)
def test_a_new_object_needs_the_value_of_its_secret(
    tmp_path: Path, reference: str, problem: str
) -> None:
    document = {
        "channels": [{"name": "New", "kind": "slack", "settings": {"webhook_url": reference}}]
    }
    (tmp_path / "f.yaml").write_text(yaml_files.dump(document))

    shown = failing("apply", str(tmp_path / "f.yaml"), "--yes")

    assert problem in shown
    assert not Channel.objects.filter(name="New").exists()


def test_drift_is_shown_and_check_exits_with_2(applied: Path) -> None:
    AlertRule.objects.filter(name="custom.stock").update(threshold=11)

    out = io.StringIO()
    with pytest.raises(SystemExit) as stopped:
        call_command("config", "apply", str(applied), "--check", stdout=out)

    assert stopped.value.code == 2
    assert "~ rules “custom.stock”\n    threshold: 11.0 → 10.0" in out.getvalue()
    assert AlertRule.objects.get(name="custom.stock").threshold == 11


def test_without_yes_and_without_a_terminal_nothing_is_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="add --yes"):
        run("apply", str(file))
    assert not Team.objects.exists()

    monkeypatch.setattr(sys, "stdin", io.StringIO(file.read_text()))
    assert "applied" in run("apply", "-", "--yes")
    assert Team.objects.exists()


def test_one_invalid_object_stops_all(file: Path) -> None:
    bad = file.read_text().replace("0 3 * * *", "at night").replace("ann@shop.example", "ann")
    file.write_text(bad)

    shown = failing("apply", str(file), "--yes")

    assert "! heartbeats “invoices”: crontab: " in shown
    assert "! people “ann”: email: " in shown
    assert not Team.objects.exists()
    assert not Monitor.objects.exists()


def test_objects_that_are_not_in_the_file_stay_unless_they_are_pruned(applied: Path) -> None:
    Person.objects.create(name="Bob", reference="bob")

    kept = run("apply", str(applied), "--yes")
    assert "people: bob" in kept
    assert Person.objects.filter(reference="bob").exists()

    pruned = run("apply", str(applied), "--yes", "--prune")
    assert "- people “bob”" in pruned
    assert not Person.objects.filter(reference="bob").exists()
    assert AlertType.objects.filter(slug="database-down").exists()  # types of the portal stay


def test_members_that_the_file_leaves_out_keep_their_value(applied: Path) -> None:
    Monitor.objects.update(interval_minutes=7)

    apply_text(applied, "monitors:\n  - {name: checkout, title: Pay}\n", "--yes")

    monitor = Monitor.objects.get()
    assert (monitor.title, monitor.interval_minutes) == ("Pay", 7)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("- a", "must be a mapping"),
        ("version: 2", "version 2 is unknown"),
        ("monitor: []", "“monitor” is no kind of objects"),
        ("incidents: []", "“incidents” is no kind of objects"),
        ("monitors: {}", "must be a list"),
        ("monitors:\n  - title: A", "object 1: `name` is missing"),
        ("teams:\n  - name: A\n  - name: A", "“A” is there twice"),
        ("teams:\n  - name: A\n    name: B", "line 3: name is there twice"),
        ("teams: [", "not valid YAML"),
        ("teams: !!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        apply_text(tmp_path / "f.yaml", text, "--yes")


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ("title: 5", r"Expected `str`, got `int` - at `$.title`"),
        ("hue: red", "unknown field `hue`"),
        ("interval_minutes: often", r"at `$.interval_minutes`"),
        ("is_public: on", r"Expected `bool`, got `str`"),
    ],
)
def test_a_member_of_the_wrong_type_is_refused(applied: Path, members: str, problem: str) -> None:
    applied.write_text(f"monitors:\n  - name: checkout\n    {members}\n")

    assert problem in failing("apply", str(applied))


def test_times_and_words_are_not_read_as_numbers_and_booleans() -> None:
    text = "people:\n  - {reference: no, name: on, quiet_from: 22:00}\n"

    assert yaml_files.load(text) == {
        "people": [{"reference": "no", "name": "on", "quiet_from": "22:00"}]
    }


@pytest.mark.parametrize(
    "value",
    [
        "22:00",
        "yes",
        "on",
        "1",
        "1e3",
        "null",
        "~",
        "",
        " a",
        "a ",
        "a\n",
        "a\nb\n",
        "\na",
        "é",
        "- a",
        "2026-11-22",
        "0x10",
        "1_000",
        ".5",
        "=",
        "<<",
    ],
)
def test_every_text_survives_dump_and_load(value: str) -> None:
    document: dict[str, list[dict[str, Any]]] = {"teams": [{"name": "t", "x": value, "y": [value]}]}

    assert yaml_files.load(yaml_files.dump(document)) == document


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
    assert f"{count} to create" in first
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


def test_what_is_left_out_or_written_differently_is_no_difference(
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


def test_an_update_that_writes_the_same_value_differently_is_no_change(applied: Path) -> None:
    rule = AlertRule.objects.get(name="custom.stock")
    resource = registry.get("rules")

    change = services.update(resource, rule, {"window": "900 s"}, by="")

    assert change.action is services.Action.KEEP


def test_the_export_of_kinds_is_limited_and_written_for_its_owner_only(
    applied: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.yaml"

    run("export", str(target), "--only", "people,teams")

    assert set(yaml.safe_load(target.read_text())) == {"version", "people", "teams"}
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="incidents"):
        run("export", "--only", "incidents")


def test_a_dry_run_changes_nothing(file: Path) -> None:
    plan = sync.apply(yaml_files.load(file.read_text()), by="", is_dry_run=True)

    assert len(plan.of(services.Action.CREATE)) == len(KINDS)
    assert not Team.objects.exists()
    assert not AuditEvent.objects.exists()


def test_the_example_of_the_document_can_be_applied_and_changes_nothing_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_prerequisites()
    document = (ROOT / "docs" / "config-as-code.md").read_text()
    example = document.partition("```yaml\n")[2].partition("```")[0]
    example = re.sub(r"//(db\.)?shop\.example", "//93.184.215.14", example)
    for name in re.findall(r"\$\{(\w+)\}", example):
        monkeypatch.setenv(name, SECRET if "WEBHOOK" in name else "s3cret")

    apply_text(tmp_path / "f.yaml", example, "--yes")

    assert "0 to create, 0 to change" in run("apply", str(tmp_path / "f.yaml"), "--check")
    assert set(yaml_files.load(example)) == set(KINDS) - {"incident-templates", "silences"}
