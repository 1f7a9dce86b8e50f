"""Pin the images in the Dockerfile, in deploy/compose.yaml and for Kubernetes by their digests (`make pin-images`).

`skopeo` gets the digest of a tag from the registry. With `--check`, the script lists the images without a digest, and
fails if there are any.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("Dockerfile", "deploy/compose.yaml", "deploy/kubernetes/opsportal.yaml")
OWN = "opsportal"  # The portal's own image has no digest until it is built from the repository.
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE = re.compile(
    r"^(?P<before>\s*(?:-\s*)?image:\s*|ARG \w*IMAGE=)(?P<quote>[\"']?)(?P<name>[^\s\"'@]+)(?P<digest>@[^\s\"']+)?",
    re.MULTILINE,
)


class Unpinned(Exception):
    """The digest of an image could not be found, for the reason in the text."""


def images_in(text: str) -> dict[str, str]:
    """Return the digest of each tagged image in the text, or "" for an image without a digest."""
    found: dict[str, str] = {}
    for image in _IMAGE.finditer(text):
        if not _is_own(image["name"]):
            found[image["name"]] = (image["digest"] or "").removeprefix("@")
    return found


def pin(text: str, digest_of: Callable[[str], str]) -> str:
    """Return the text with the digests that `digest_of` returns. Raises Unpinned if one of them is not a digest."""

    def replace(image: re.Match[str]) -> str:
        if _is_own(image["name"]):
            return image[0]
        digest = digest_of(image["name"])
        if not DIGEST.fullmatch(digest):
            raise Unpinned(f"{image['name']}: {digest!r} is not a digest")
        return f"{image['before']}{image['quote']}{image['name']}@{digest}"

    return _IMAGE.sub(replace, text)


def _is_own(name: str) -> bool:
    return name.rpartition("/")[2].partition(":")[0] == OWN


def full_name(name: str) -> str:
    """Return the image's name with its registry, expanded the way Docker expands short names."""
    host, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in host or ":" in host or host == "localhost" else f"docker.io/{name}"


def digest_from_registry(name: str) -> str:
    """Return the digest of the manifest list, which names the images for all platforms.

    Raises Unpinned if skopeo is missing or fails.
    """
    if not shutil.which("skopeo"):
        raise Unpinned(
            "install skopeo, which queries the registries (on Debian: apt install skopeo)"
        )
    command = ["skopeo", "inspect", "--raw", f"docker://{full_name(name)}"]
    raw = subprocess.run(command, capture_output=True, check=False)
    if raw.returncode:
        raise Unpinned(f"{name}: {raw.stderr.decode(errors='replace').strip()}")
    digest = ["skopeo", "manifest-digest", "/dev/stdin"]
    done = subprocess.run(digest, input=raw.stdout, capture_output=True, check=False)
    return done.stdout.decode().strip()


def main(arguments: list[str]) -> int:
    paths = [ROOT / name for name in FILES]
    if arguments == ["--check"]:
        missing = {
            f"{path.relative_to(ROOT)}: {name} has no digest"
            for path in paths
            for name, digest in images_in(path.read_text()).items()
            if not digest
        }
        print("\n".join(sorted(missing)))
        return 1 if missing else 0
    try:
        pinned = {path: pin(path.read_text(), digest_from_registry) for path in paths}
    except Unpinned as error:
        print(f"nothing was changed: {error}", file=sys.stderr)
        return 1
    for path, text in pinned.items():
        path.write_text(text)
        for name, digest in images_in(text).items():
            print(f"{path.relative_to(ROOT)}: {name}@{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
