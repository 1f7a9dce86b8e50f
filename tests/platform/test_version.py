import tomllib
from pathlib import Path

from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_version_is_defined_in_only_one_place() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    others = [
        path.relative_to(ROOT).as_posix()
        for folder in ("core", "opsportal", "health", "deploy", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".yml", ".toml", ".service")
        and f'"{version}"' in path.read_text()
    ]

    assert version == settings.VERSION
    assert others == []
