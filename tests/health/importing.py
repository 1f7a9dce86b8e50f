"""Run `manage.py import` and return its output."""

import io

from django.core.management import call_command


def run(*arguments: str) -> str:
    out = io.StringIO()
    try:
        call_command("import", *arguments, stdout=out)
    finally:
        print(out.getvalue())  # pytest shows the output if the test fails.
    return out.getvalue()
