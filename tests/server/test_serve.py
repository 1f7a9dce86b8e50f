"""Test the preparations of `manage.py serve` before it starts any process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError
from pytest_django import Settings

from core.clients.models import ClientKey
from core.lib import prepare
from opsportal.management.commands import serve
from tests.servers.portal import ROOT


@pytest.mark.django_db
def test_the_first_start_creates_an_admin_and_prints_the_password_once() -> None:
    printed = serve.first_admin()

    password = re.search(r"admin, password (\w{16}) ", printed)
    assert password
    assert authenticate(username="admin", password=password[1])
    assert password[1] not in serve.first_admin()
    assert "resetlogin" in serve.first_admin()


@pytest.mark.django_db
def test_no_admin_is_created_if_one_exists() -> None:
    User.objects.create_superuser("anna", password="x")

    assert "existing account" in serve.first_admin()
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_the_banner_contains_a_dsn_and_a_curl_command_with_the_same_valid_key() -> None:
    key = serve._key_to_show()
    assert key is not None

    printed = serve.banner("admin", key)

    assert key.dsn in printed
    assert f"Authorization: Bearer {key.public_key}" in printed
    assert ClientKey.objects.live().filter(pk=key.pk).exists()
    assert serve._key_to_show() == key


def test_a_free_port_is_found_and_an_unusable_address_causes_one_error_line() -> None:
    assert serve.free_port("127.0.0.1", 0) > 1023
    with pytest.raises(CommandError, match=r"^cannot listen on 192\.0\.2\.1:8000 \(.*\); choose"):
        serve.free_port("192.0.2.1", 8000)
    with pytest.raises(CommandError, match=r"cannot listen on 127\.0\.0\.1:99999"):
        serve.free_port("127.0.0.1", 99999)


def test_static_files_are_collected_only_when_one_has_changed(
    settings: Settings, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.css").write_text("a {}")
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATICFILES_DIRS = [source]

    assert prepare.collect_static()
    assert not prepare.collect_static()
    (source / "a.css").write_text("a { color: red }")
    assert prepare.collect_static()
    assert "red" in (tmp_path / "static" / "a.css").read_text()


@pytest.mark.slow
def test_loading_code_before_forking_opens_no_connection() -> None:
    program = (
        "import django; django.setup()\n"
        "from django.db import connection\n"
        "from opsportal.management.commands.serve import load\n"
        "load()\n"
        "assert connection.connection is None\n"
        "from psycopg_pool import ConnectionPool; import gc\n"
        "assert not [found for found in gc.get_objects() if isinstance(found, ConnectionPool)]\n"
    )
    settings = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}

    completed = subprocess.run(
        [sys.executable, "-c", program], env=settings, cwd=ROOT, capture_output=True, text=True
    )

    assert completed.returncode == 0, completed.stderr
