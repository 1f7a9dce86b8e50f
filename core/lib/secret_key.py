import os
import secrets
from pathlib import Path


def installation_secret_key(data_dir: Path) -> str:
    """Return the secret key from the data folder. On first use, create the file so that only its owner can read it."""
    path = data_dir / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = data_dir / f".secret_key.{os.getpid()}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(64))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # Another process has just created the file, so use its key.
    finally:
        draft.unlink()
    return path.read_text().strip()
