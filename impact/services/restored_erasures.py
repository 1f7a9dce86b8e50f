"""Repeat erasures in a database that was restored from a backup."""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from django.conf import settings

from impact.extension_points import record_sources
from impact.models import Erasure
from impact.services.erasure import erase_references, fingerprint


def keep_beside_backups() -> int:
    """Append finished erasures to the file in BACKUP_DIR unless it contains them, and return their number.

    A restored backup does not contain the newest erasures, so they must be stored outside the database.
    """
    path = erasures_file()
    kept = {tuple(one) for one in read_fingerprints(path)} if path.exists() else set()
    finished = Erasure.objects.exclude(finished_at=None).order_by("pk")
    found = [one for one in finished if one.fingerprints and tuple(one.fingerprints) not in kept]
    if found:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(path, "a", opener=partial(os.open, mode=0o600)) as file:
            for one in found:
                line = {"finished_at": str(one.finished_at), "fingerprints": one.fingerprints}
                file.write(json.dumps(line) + "\n")
    return len(found)


def erasures_file() -> Path:
    return Path(settings.BACKUP_DIR) / "erasures.jsonl"


def read_fingerprints(path: Path) -> list[list[str]]:
    """Return the fingerprints of each erasure in the file. Raises ValueError if the file has another format."""
    return [json.loads(line)["fingerprints"] for line in path.read_text().splitlines() if line]


def repeat_erasures(erased: Sequence[Sequence[str]], *, now: datetime) -> list[Erasure]:
    """Erase the persons with these fingerprints again, and return the erasures that found records."""
    wanted = {one: number for number, of_person in enumerate(erased) for one in of_person}
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    found: dict[int, set[str]] = {}
    for source in record_sources:
        for reference in source.references():
            for secret in secrets:
                number = wanted.get(fingerprint(reference, secret))
                if number is not None:
                    found.setdefault(number, set()).add(reference)
    kinds = ("customers", "users", "addresses")
    return [
        erase_references({kind: sorted(references) for kind in kinds}, user=None, now=now)
        for _, references in sorted(found.items())
    ]
