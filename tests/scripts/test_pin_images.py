"""Test that all images named in files are found and pinned, and that only valid digests are written."""

import pytest

from scripts.pin_images import FILES, ROOT, Unpinned, full_name, images_in, pin

DIGEST = "sha256:" + "a" * 64
TEXT = """
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim
FROM ${PYTHON_IMAGE} AS build
    image: postgres:17  # the database
  - image: "redis:7@sha256:old"
    image: opsportal
          image: registry.example/team/opsportal:0.1.0
"""


def test_every_image_but_our_own_is_pinned() -> None:
    pinned = pin(TEXT, lambda name: DIGEST)

    assert f"ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim@{DIGEST}\n" in pinned
    assert f"    image: postgres:17@{DIGEST}  # the database\n" in pinned
    assert f'  - image: "redis:7@{DIGEST}"\n' in pinned
    assert "    image: opsportal\n" in pinned
    assert "registry.example/team/opsportal:0.1.0\n" in pinned
    assert "FROM ${PYTHON_IMAGE} AS build\n" in pinned
    assert pin(pinned, lambda name: DIGEST) == pinned


def test_images_are_listed_with_their_digests() -> None:
    assert images_in(TEXT) == {
        "docker.io/library/python:3.11-slim": "",
        "postgres:17": "",
        "redis:7": "sha256:old",
    }


@pytest.mark.parametrize("answer", ["", "latest", "sha256:abc", f"{DIGEST}\n", f"md5:{'a' * 64}"])
def test_an_answer_that_is_not_a_digest_is_refused(answer: str) -> None:
    with pytest.raises(Unpinned, match="is not a digest"):
        pin(TEXT, lambda name: answer)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("redis:7", "docker.io/library/redis:7"),
        ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
        ("quay.io/a/b:1", "quay.io/a/b:1"),
        ("localhost/a:1", "localhost/a:1"),
    ],
)
def test_a_short_image_name_gets_its_registry(name: str, full: str) -> None:
    assert full_name(name) == full


def test_every_file_that_names_images_is_known() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "deploy").rglob("*.y*ml")
        if images_in(path.read_text())
    }

    assert found <= set(FILES)
    assert images_in((ROOT / "Dockerfile").read_text())
