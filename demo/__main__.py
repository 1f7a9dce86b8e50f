"""Run the portal and a simulated shop that sends it live traffic: `make demo`. Ctrl-C stops both."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from demo.bank import Bank
from demo.control import ControlPage
from demo.portal import Keys, Portal
from demo.shop import Shop
from demo.story import LENGTH_SECONDS, Story

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]


def main() -> int:
    port = os.environ.get("PORT") or "8000"
    base_url = f"http://127.0.0.1:{port}"
    # At level INFO, the portal would log each of the shop's many requests.
    environment = {"LOG_LEVEL": "WARNING", **os.environ, "BASE_URL": base_url}
    seeded = subprocess.run(
        [*MANAGE, "seed_demo"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if seeded.returncode:
        return seeded.returncode
    keys = json.loads(seeded.stdout.splitlines()[-1])
    bank = Bank.open(base_url)
    environment.update(bank.settings if bank else {})
    portal = subprocess.Popen([*MANAGE, "serve", "--port", port], cwd=ROOT, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: portal.terminate())
    site, gate = (Portal(base_url, Keys(**keys[slug])) for slug in ("shop", "gate"))
    length_seconds = float(os.environ.get("STORY_SECONDS") or LENGTH_SECONDS)
    shop = Shop(site, gate, bank, buyers_per_usual=LENGTH_SECONDS / length_seconds)
    story = Story(shop, length_seconds=length_seconds)
    control = ControlPage(story, base_url)
    try:
        if _wait_until_up(base_url, portal):
            shop.open()
            print(
                f"Start the story of a bad release, and of what it costs: {control.url}", flush=True
            )
            print(
                f"The shop is open (DSN: {shop.shop.dsn}). It simulates outages from time to time.",
                flush=True,
            )
            print(
                "To try the examples of docs/api.md and docs/checkout.md:\n"
                f"export PORTAL={base_url} KEY={keys['shop']['api_key']}"
                + (f" BANK={bank.base_url}" if bank else ""),
                flush=True,
            )
        return portal.wait()
    except KeyboardInterrupt:
        return portal.wait()  # Ctrl-C also reached the portal, which is now stopping.
    finally:
        control.close()
        story.close()
        shop.close()
        if bank:
            bank.close()


def _wait_until_up(base_url: str, portal: subprocess.Popen[bytes]) -> bool:
    """Wait until the portal responds, and return True. Return False if it exits before that."""
    while portal.poll() is None:
        try:
            httpx.get(f"{base_url}/livez", timeout=1)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
