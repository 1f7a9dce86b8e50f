from pathlib import Path

import pytest

from core.config import yaml_files
from tests.config.commands import KINDS, run
from tests.config.objects import OBJECTS, make_prerequisites


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a configuration file with one object of each supported kind, and return its path."""
    make_prerequisites()
    path = tmp_path / "monitoring.yaml"
    path.write_text(yaml_files.dump({kind: [OBJECTS[kind][0]] for kind in KINDS}))
    return path


@pytest.fixture
def applied(file: Path) -> Path:
    run("apply", str(file), "--yes")
    return file
