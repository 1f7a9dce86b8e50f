"""Test `manage.py config export` and `config apply`, which write the configuration to a file and read such a file."""

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError

from alerts.models import (
    AlertRule,
    AlertType,
    Channel,
    EscalationStep,
    Person,
    Team,
)
from core.accounts.models import AuditEvent
from core.config import secrets, services, sync, yaml_files
from core.config.values import resources_in_order
from health.models import Monitor
from tests.config.commands import KINDS, SECRET, apply_text, failing, run
from tests.config.objects import EXISTING, make_prerequisites

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def test_a_file_creates_one_object_of_each_kind_and_then_changes_nothing(file: Path) -> None:
    first = run("apply", str(file), "--yes")
    earlier = AuditEvent.objects.count()
    second = run("apply", str(file), "--yes")

    new = len(KINDS) - len(EXISTING)
    assert f"Plan: {new} to create, 0 to change, 0 to delete, {len(EXISTING)} unchanged." in first
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
    nobody.delete()  # `config apply` would refuse a step without a target.
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


def test_references_are_replaced_by_variables_and_files_and_within_texts(
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


def test_without_yes_and_without_a_terminal_nothing_is_changed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="add --yes"):
        run("apply", str(file))
    assert not Team.objects.exists()

    monkeypatch.setattr(sys, "stdin", io.StringIO(file.read_text()))
    assert "applied" in run("apply", "-", "--yes")
    assert Team.objects.exists()


def test_one_invalid_object_prevents_all_changes(file: Path) -> None:
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
    assert AlertType.objects.filter(
        slug="database-down"
    ).exists()  # The portal's own alert types are not deleted.


def test_members_that_the_file_leaves_out_keep_their_value(applied: Path) -> None:
    Monitor.objects.update(interval_minutes=7)

    apply_text(applied, "monitors:\n  - {name: checkout, title: Pay}\n", "--yes")

    monitor = Monitor.objects.get()
    assert (monitor.title, monitor.interval_minutes) == ("Pay", 7)


def test_an_export_can_be_limited_to_kinds_and_is_readable_only_by_its_owner(
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

    assert len(plan.of(services.Action.CREATE)) == len(KINDS) - len(EXISTING)
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
