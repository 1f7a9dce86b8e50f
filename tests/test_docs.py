"""Test that the documents match the code in their settings, dependencies and links."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def table_names(document: str) -> set[str]:
    """Return the texts in the first column of all tables in a document."""
    text = (ROOT / "docs" / document).read_text()
    return {m[1].strip("` ") for m in re.finditer(r"^\| ([^|]+) \|", text, re.MULTILINE)}


def test_every_setting_is_explained_in_operations() -> None:
    settings = (ROOT / "opsportal" / "settings.py").read_text()
    names = set(re.findall(r'\benv\.\w+\(\s*"([A-Z0-9_]+)"', settings))

    assert len(names) > 30
    assert names - table_names("operations.md") == set()


def test_operations_explains_only_settings_that_exist() -> None:
    settings = (ROOT / "opsportal" / "settings.py").read_text()
    explained = {
        name for name in table_names("operations.md") if re.fullmatch(r"[A-Z0-9_]{4,}", name)
    }

    assert {name for name in explained if f'"{name}"' not in settings} == set()


@pytest.mark.parametrize("name", ["run.in", "dev.in"])
def test_every_dependency_is_explained(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    packages = {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in lines if line[:1].isalpha()}

    assert packages - table_names("dependencies.md") == set()


@pytest.mark.parametrize(
    "name", ["run.txt", "dev.txt", "uv.txt", "audit.txt", "otel.txt", "patroni.txt"]
)
def test_lock_files_contain_hashes_and_no_url(name: str) -> None:
    lock = (ROOT / "requirements" / name).read_text()
    packages = re.findall(r"^[a-z0-9].*", lock, re.MULTILINE)

    assert "://" not in lock
    assert all("==" in package and package.endswith("\\") for package in packages)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_to_existing_files(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_paths_in_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    cells = re.findall(r"^\| (`[^|]+`) \|", readme, re.MULTILINE)
    paths = [path for cell in cells for path in re.findall(r"`([^`]+)`", cell)]

    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
