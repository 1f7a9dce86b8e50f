"""Test which configuration files the portal accepts, and which it refuses with the reason."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from core.config import yaml_files
from tests.config.commands import apply_text, failing

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("- a", "must be a mapping"),
        ("version: 2", "version 2 is unknown"),
        ("monitor: []", "“monitor” is not a kind of object"),
        ("incidents: []", "“incidents” is not a kind of object"),
        ("monitors: {}", "must be a list"),
        ("monitors:\n  - title: A", "object 1: `name` must be a non-empty string"),
        ("teams:\n  - name: A\n  - name: A", "“A” appears twice"),
        ("teams:\n  - name: A\n    name: B", "line 3: name appears twice"),
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
def test_every_text_can_be_dumped_and_loaded(value: str) -> None:
    document: dict[str, list[dict[str, Any]]] = {"teams": [{"name": "t", "x": value, "y": [value]}]}

    assert yaml_files.load(yaml_files.dump(document)) == document
