"""Simulate hosts on one machine. For root, they are network namespaces on a bridge, otherwise loopback addresses."""

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Host:
    name: str
    address: str
    prefix: tuple[str, ...] = ()  # Prepended to a command, these words run it on the host.


class Network:
    """A network of hosts: `with Network(["db", "web1"]) as network`. `kind` describes the simulation in words."""

    def __init__(self, names: list[str]) -> None:
        self._tag = f"ops{secrets.token_hex(2)}"
        self._names = names
        self._has_namespaces = False
        self.kind = "loopback addresses"
        self.gateway = "127.0.0.1"  # The test process's address, as seen from the hosts.
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> "Network":
        if os.geteuid() == 0 and sys.platform == "linux" and shutil.which("ip"):
            try:
                self._create_namespaces()
            # Some containers do not permit network namespaces.
            except subprocess.CalledProcessError:
                self._remove_namespaces()
        if not self.hosts:
            second = 16 + secrets.randbelow(200)
            self.hosts = {
                name: Host(name, f"127.{second}.0.{number + 2}")
                for number, name in enumerate(self._names)
            }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._has_namespaces:
            self._remove_namespaces()

    def disconnect(self, name: str) -> None:
        """Take a host's link down. This works only if the hosts are network namespaces."""
        _ip("link", "set", self._cable(name), "down")

    def reconnect(self, name: str) -> None:
        _ip("link", "set", self._cable(name), "up")

    def block_ports(self, name: str, ports: str) -> None:
        """Drop TCP packets between a host and all other hosts from or to `ports`, for example "2379-2380"."""
        for direction in ("sport", "dport"):
            _ip(*self._rule("add", name, direction, ports))

    def unblock_ports(self, name: str, ports: str) -> None:
        for direction in ("sport", "dport"):
            _ip(*self._rule("del", name, direction, ports))

    def _rule(self, action: str, name: str, direction: str, ports: str) -> list[str]:
        # The host can still reach its own services, because the rule for packets to itself has a higher priority (0).
        space = self.hosts[name].prefix[-1]
        match = ["pref", "10", "ipproto", "tcp", direction, ports]
        return ["-n", space, "rule", action, *match, "blackhole"]

    def _create_namespaces(self) -> None:
        self._has_namespaces = True
        net = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
        _ip("link", "add", self._tag, "type", "bridge")
        _ip("addr", "add", f"{net}.1/24", "dev", self._tag)
        _ip("link", "set", self._tag, "up")
        hosts = {}
        for number, name in enumerate(self._names):
            space, cable = f"{self._tag}-{name}", self._cable(name)
            _ip("netns", "add", space)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", cable, "master", self._tag)
            _ip("link", "set", cable, "up")
            _ip("-n", space, "addr", "add", f"{net}.{number + 2}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")
            hosts[name] = Host(name, f"{net}.{number + 2}", ("ip", "netns", "exec", space))
        self.hosts, self.gateway, self.kind = hosts, f"{net}.1", "network namespaces"

    def _remove_namespaces(self) -> None:
        for name in self._names:
            _ip("link", "del", self._cable(name), check=False)
            _ip("netns", "del", f"{self._tag}-{name}", check=False)
        _ip("link", "del", self._tag, check=False)

    def _cable(self, name: str) -> str:
        return f"{self._tag}{self._names.index(name)}"


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True, timeout=10)
