"""Test that release notes are signed with OpenSSH, and that changed notes and other keys or purposes are refused."""

import subprocess
from pathlib import Path

import pytest

from scripts.release_notes import NAMESPACE, notes, section_of, sign, verify

CHANGELOG = (
    "# Changelog\n\n## Unreleased\n\n- New.\n\n## 1.2.0 (2026-11-30)\n\n- A.\n\n## 1.1.0\n\n- B.\n"
)
IDENTITY = "release@opsportal"


def make_key(path: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "throw-away", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


@pytest.fixture
def allowed(key: Path) -> Path:
    path = key.with_name("allowed_signers")
    public = key.with_name("key.pub").read_text()
    path.write_text(f'{IDENTITY} namespaces="{NAMESPACE}" {public}')
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    listed = tmp_path / "sbom.json"
    listed.write_text("{}")
    path = tmp_path / "opsportal-1.2.0.md"
    path.write_text(notes("1.2.0", section_of(CHANGELOG, "1.2.0"), "c0ffee", [listed]))
    return path


def test_the_notes_contain_the_changes_of_the_version_the_commit_and_checksums(
    written: Path,
) -> None:
    text = written.read_text()

    assert "- A.\n" in text
    assert "New" not in text
    assert "- B." not in text
    assert "Commit: c0ffee\n" in text
    sums = text.partition("```\n")[2].partition("```")[0]
    checked = subprocess.run(
        ["sha256sum", "--check"],
        input=sums,
        cwd=written.parent,
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.stdout == "sbom.json: OK\n"


@pytest.mark.parametrize("version", ["1.2", "1.3.0", "1x2.0"])
def test_a_version_without_a_section_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="no section"):
        section_of(CHANGELOG.replace("## 1.2.0 (", "## 1.20.0 ("), version)


def test_an_owner_verifies_the_notes(written: Path, key: Path, allowed: Path) -> None:
    signature = sign(written, key)

    assert verify(written, signature, allowed, IDENTITY)
    assert not verify(written, signature, allowed, "another@opsportal")


def test_changed_notes_are_refused(written: Path, key: Path, allowed: Path) -> None:
    signature = sign(written, key)
    written.write_text(written.read_text() + " ")

    assert not verify(written, signature, allowed, IDENTITY)


def test_notes_signed_with_another_key_are_refused(
    written: Path, tmp_path: Path, allowed: Path
) -> None:
    assert not verify(written, sign(written, make_key(tmp_path / "other")), allowed, IDENTITY)


def test_a_signature_for_another_purpose_is_refused(
    written: Path, key: Path, allowed: Path
) -> None:
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", "git", str(written)]
    subprocess.run(command, check=True, capture_output=True)

    assert not verify(written, written.with_name(f"{written.name}.sig"), allowed, IDENTITY)


def test_notes_can_be_signed_again(written: Path, key: Path, allowed: Path) -> None:
    sign(written, key)
    written.write_text("others\n")

    assert verify(written, sign(written, key), allowed, IDENTITY)
