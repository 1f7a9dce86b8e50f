"""Write and sign the notes of a release (`make release-notes KEY=…`): what changed, and the checksums of its files.

The script signs with OpenSSH, so that any machine with OpenSSH can verify the signature:
https://man.openbsd.org/ssh-keygen#Y~5
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / ".cache" / "release"
# The purpose that a signature names. A signature by the same key for another purpose is not accepted.
NAMESPACE = "opsportal-release"


def section_of(changelog: str, version: str) -> str:
    """Return the changelog's text about a version. Raises ValueError if there is none."""
    found = re.search(
        rf"^## \[?v?{re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    if not found or not found[1].strip():
        raise ValueError(f"CHANGELOG.md has no section about {version}")
    return found[1].strip()


def notes(version: str, changes: str, commit: str, files: Sequence[Path]) -> str:
    """Return the notes, which end with the commit and the checksums in the format of sha256sum."""
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files
    )
    return (
        f"# opsportal {version}\n\n{changes}\n\n## What this release consists of\n\n"
        f"Commit: {commit}\n\n```\n{sums}```\n"
    )


def sign(path: Path, key: Path) -> Path:
    """Sign the file with a private key of OpenSSH, and return the path of the signature."""
    signature = path.with_name(f"{path.name}.sig")
    signature.unlink(missing_ok=True)
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(path)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return signature


def verify(path: Path, signature: Path, allowed_signers: Path, identity: str) -> bool:
    """Return True if one of the keys that `allowed_signers` lists for this identity has signed the file."""
    command = [
        "ssh-keygen", "-Y", "verify", "-f", str(allowed_signers), "-I", identity,
        "-n", NAMESPACE, "-s", str(signature),
    ]  # fmt: skip
    with open(path, "rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, check=False)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", type=Path, required=True, help="path of a private OpenSSH key")
    parser.add_argument("files", nargs="*", type=Path, help="files whose checksums are listed")
    given = parser.parse_args()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    head = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(
        head, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        changes = section_of((ROOT / "CHANGELOG.md").read_text(), version)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    OUTPUT.mkdir(parents=True, exist_ok=True)
    path = OUTPUT / f"opsportal-{version}.md"
    path.write_text(notes(version, changes, commit, given.files))
    try:
        print(f"{path}\n{sign(path, given.key)}")
    except subprocess.CalledProcessError as error:
        print(f"the notes were not signed: {error.stderr.strip()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
