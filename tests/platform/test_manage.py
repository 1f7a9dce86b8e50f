"""Test that the documented commands work as printed, and that `manage.py` can be started with any Python."""

import argparse
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from opsportal.management.commands import serve

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# With -S, Python finds no installed packages, like an operating system's own Python.
BARE_PYTHON = [sys.executable, "-S"]
MANAGE = re.compile(r"""([^\s`]*)manage\.py ([a-z_0-9]+)((?:"[^"\n]*"|[^`"\n#;|&)])*)""")
MAKE = re.compile(r"(?:`|^)make ((?:[A-Z]+=\S+ )*)([a-z-]+)([^`\n#]*)", re.MULTILINE)
MODULE = re.compile(r"python3? -m ([\w.]+)")
# Documented commands that need no user input and change only the data folder.
QUICK = ["prepare", "resetlogin", "backup", "verify_backup"]


def run(command: list[str], *, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def code_of(document: Path) -> str:
    """Return the code in a document's code blocks and between backquotes in its text."""
    text = document.read_text()
    blocks = re.findall(r"^```(?:sh|bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *(f"`{code}`" for code in re.findall(r"`([^`]+)`", prose))])


def commands_of_documents() -> list[tuple[str, str, str, str]]:
    """Return the document, the printed path of `manage.py`, the name and the arguments of each documented command."""
    return [
        (document.name, *found)
        for document in DOCUMENTS
        for found in MANAGE.findall(code_of(document))
    ]


@pytest.mark.slow
def test_manage_finds_the_virtual_environment_beside_it() -> None:
    done = run([*BARE_PYTHON, str(ROOT / "manage.py"), "help", "resetlogin"], cwd=ROOT / "docs")

    assert done.returncode == 0, done.stderr
    assert "usage: manage.py resetlogin" in done.stdout


def test_without_a_virtual_environment_manage_prints_the_command_to_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "manage.py", tmp_path)

    done = run([*BARE_PYTHON, "manage.py", "resetlogin", "admin"], cwd=tmp_path)

    assert done.returncode == 1
    assert f"cd {tmp_path} && make run" in done.stderr
    assert "Traceback" not in done.stderr


def test_manage_can_be_run_as_printed_in_the_documents() -> None:
    assert os.access(ROOT / "manage.py", os.X_OK)
    assert {prefix for _, prefix, _, _ in commands_of_documents()} == {"./"}
    assert "./manage.py resetlogin" in inspect.getsource(serve.first_admin)


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a command and of its actions, such as `config apply`."""
    found = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {option for one in action.choices.values() for option in options_of(one)}
    return found


def test_the_commands_of_the_documents_exist_with_their_options() -> None:
    found = commands_of_documents()
    known = get_commands()
    wrong = []
    for document, _, name, arguments in found:
        if name not in known:
            wrong.append(f"{document}: {name}")
            continue
        owner = known[name]
        command = load_command_class(owner, name) if isinstance(owner, str) else owner
        parser = command.create_parser("manage.py", name)
        options = options_of(parser)
        wrong += [
            f"{document}: {name} {part}"
            for part in re.findall(r"(?<!\S)--?[a-z][a-z-]*", arguments)
            if part not in options
        ]

    assert len(found) > 20
    assert wrong == []


def test_the_targets_and_modules_of_the_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"\$\((?:if \$\()?([A-Z]+)\)", makefile))
    wrong, count = [], 0
    for document in DOCUMENTS:
        code = code_of(document)
        for before, target, after in MAKE.findall(code):
            count += 1
            given = set(re.findall(r"(?<!\S)([A-Z]+)=", f"{before} {after}"))
            if target not in targets or given - variables:
                wrong.append(f"{document.name}: make {before}{target}{after}")
        wrong += [
            f"{document.name}: python -m {module}"
            for module in MODULE.findall(code)
            if importlib.util.find_spec(module) is None
        ]

    assert count > 10
    assert wrong == []


@pytest.mark.slow
def test_the_quick_commands_of_the_documents_run_as_printed(tmp_path: Path) -> None:
    """Run the documented commands in a shell, with values in place of their placeholders."""
    environment = {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "opsportal.settings"}
    environment |= {"DATABASE_URL": "", "REDIS_URL": ""}
    printed = {
        name: f"./manage.py {name}{arguments}".replace("<name>", "admin").strip()
        for _, _, name, arguments in reversed(commands_of_documents())
        if name in QUICK
    }
    create = "./manage.py createsuperuser --noinput --username admin --email admin@example.com"
    steps = [printed["prepare"], create, *(printed[name] for name in QUICK[1:])]

    for step in steps:
        assert shlex.split(step)[0] == "./manage.py"
        done = run(
            ["bash", "-c", step], cwd=ROOT, DJANGO_SUPERUSER_PASSWORD="x" * 20, **environment
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
