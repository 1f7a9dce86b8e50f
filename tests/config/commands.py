"""Run `manage.py config` in this process."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from core.config.values import resources_in_order

KINDS = [resource.kind for resource in resources_in_order() if resource.is_in_files]
SECRET = "https://93.184.215.14/services/T0/B0/secret"


def run(*arguments: str) -> str:
    out = io.StringIO()
    try:
        call_command("config", *arguments, stdout=out, stderr=io.StringIO())
    finally:
        print(out.getvalue())  # pytest shows the output if the test fails.
    return out.getvalue()


def apply_text(path: Path, text: str, *options: str) -> str:
    path.write_text(text)
    return run("apply", str(path), *options)


def failing(*arguments: str) -> str:
    """Run `manage.py config`, which must fail, and return its output."""
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("config", *arguments, stdout=out)
    return out.getvalue()
