"""The files of deploy/ name commands, options, settings, addresses, ports and files that there are."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class
from django.urls import resolve

from tests.deploy.cluster import program
from tests.servers import process
from tests.servers.portal import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETTINGS = set(
    re.findall(r"env\.\w+\(\s*\"(\w+)\"", (ROOT / "opsportal" / "settings.py").read_text())
)
OTHERS = {"PYTHONUNBUFFERED", "POD_IP"}  # of Python, and for Kubernetes' own substitution


def takes(arguments: list[str]) -> dict[str, Any]:
    """The options that manage.py understands from this command line; SystemExit when it does not."""
    name, *options = arguments
    command = load_command_class(get_commands()[name], name)
    return vars(command.create_parser("manage.py", name).parse_args(options))


def is_setting(name: str) -> bool:
    return name.removesuffix("_FILE") in SETTINGS or name in OTHERS


@pytest.mark.parametrize("file", ["compose.yaml", "deploy/compose.yaml"])
def test_compose(file: str) -> None:
    composed = yaml.safe_load((ROOT / file).read_text())
    services = composed["services"]
    folder = (ROOT / file).parent
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            is_ours = (
                source.startswith("./") and source != "./tls"
            )  # the certificate is the owner's
            assert not is_ours or (folder / source).exists(), (name, source)
            assert source.startswith("./") or source in composed["volumes"], (name, source)
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("secrets", [])) <= set(composed.get("secrets", {})), name
        if "build" in service:
            assert (folder / service["build"] / "Dockerfile").exists()
            assert [key for key in service["environment"] if not is_setting(key)] == [], name
            takes(service.get("command", ["serve"]))
    if file.startswith("deploy"):
        roles = [takes(s["command"]) for s in services.values() if "build" in s]
        assert [(r["no_web"], r["no_worker"]) for r in roles] == [(False, True)] * 2 + [
            (True, False)
        ] * 2
        upstreams = re.findall(
            r"server (\w+):(\d+)", (DEPLOY / "nginx" / "opsportal.conf").read_text()
        )
        assert {name for name, _ in upstreams} == {"web1", "web2"} <= set(services)
        assert {int(port) for _, port in upstreams} == {roles[0]["port"]}


def test_backups_of_the_composed_database_can_be_made_and_outlive_a_container() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    _, _, server = services["db"]["image"].partition(":")

    assert f"postgresql-client-{server} " in DOCKERFILE
    for worker in ("worker1", "worker2"):
        assert services[worker]["volumes"] == ["backups:/data/backups"]
    assert re.search(r"install -d -o opsportal .*/data/backups\b", DOCKERFILE)


def test_kubernetes() -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "opsportal.yaml").read_text()))
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        assert {"apiVersion", "kind", "metadata"} <= set(document)
        by_kind.setdefault(document["kind"], []).append(document)
    config = {d["metadata"]["name"]: d["data"] for d in by_kind["ConfigMap"]}
    pods = {}
    for deployment in by_kind["Deployment"]:
        spec = deployment["spec"]
        template = spec["template"]
        assert spec["selector"]["matchLabels"] == template["metadata"]["labels"]
        assert f"--uid {template['spec']['securityContext']['runAsUser']} " in DOCKERFILE
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        for container in template["spec"]["containers"]:
            options = takes(container["args"])
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            assert options["no_web"] or ports == {"http": options["port"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe in container:
                    get = container[probe]["httpGet"]
                    assert get["port"] in ports
                    assert resolve(get["path"]).url_name in ("liveness", "readiness")
            names = [entry["name"] for entry in container["env"]]
            for source in container["envFrom"]:
                names += config[source["configMapRef"]["name"]]
            assert [name for name in names if not is_setting(name)] == []
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert {m["mountPath"] for m in container["volumeMounts"]} == {"/data"}
            assert container["image"].startswith("opsportal:")
        pods[deployment["metadata"]["name"]] = template["metadata"]["labels"]
    for chooser in by_kind["Service"] + by_kind["PodDisruptionBudget"]:
        selector = chooser["spec"]["selector"]
        assert selector.get("matchLabels", selector) in pods.values()
    services = {d["metadata"]["name"]: d["spec"]["ports"][0]["name"] for d in by_kind["Service"]}
    for ingress in by_kind["Ingress"]:
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                assert services[backend["name"]] == backend["port"]["name"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd(unit: Path, tmp_path: Path) -> None:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read(unit)
    service = read["Service"]
    python, manage, *arguments = shlex.split(service["ExecStart"])
    assert (Path(python).name, manage) == ("python", "manage.py")
    takes(arguments)
    assert service["KillMode"] == "mixed"
    assigned = [pair.partition("=")[0] for pair in shlex.split(service["Environment"])]
    assert [name for name in assigned if not is_setting(name)] == []

    if verify := shutil.which("systemd-analyze"):
        here = tmp_path / unit.name
        here.write_text(unit.read_text().replace(python, "/bin/true"))
        checked = subprocess.run(
            [verify, "verify", here], capture_output=True, text=True, timeout=30
        )
        assert unit.name not in checked.stderr, checked.stderr


def test_dockerfile() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    command = re.search(r"^CMD \[(.+)\]$", DOCKERFILE, re.MULTILINE)
    assert command
    options = takes(re.findall(r'"([^"]+)"', command[1]))
    assert f"EXPOSE {options['port']}" in DOCKERFILE
    probed = re.search(r"'127\.0\.0\.1', (\d+).*'GET', '([^']+)'", DOCKERFILE)
    assert probed
    assert int(probed[1]) == options["port"]
    assert resolve(probed[2]).url_name == "liveness"


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    nginx = program("nginx")
    if not nginx:
        pytest.skip("it needs nginx")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ops.shop.example",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("it needs openssl")
    site = (DEPLOY / "nginx" / "opsportal.conf").read_text()
    for there, here in {
        "/etc/ssl/ops.shop.example.pem": tmp_path / "cert.pem",
        "/etc/ssl/private/ops.shop.example.key": tmp_path / "key.pem",
        "/etc/nginx/opsportal-proxy.conf": DEPLOY / "nginx" / "opsportal-proxy.conf",
        "web1:": "127.0.0.1:",
        "web2:": "127.0.0.2:",
        "listen 80;": f"listen 127.0.0.1:{process.free_port()};",  # the check binds it
        "listen 443 ssl;": f"listen 127.0.0.1:{process.free_port()} ssl;",
    }.items():
        assert there in site
        site = site.replace(there, str(here))
    config = tmp_path / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # kept where only root may write
    folders = " ".join(f"{kind}_temp_path {tmp_path / kind};" for kind in kinds)
    config.write_text(
        f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {folders} {site} }}"
    )

    checked = subprocess.run(
        [nginx, "-t", "-e", str(tmp_path / "log"), "-c", str(config)],
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stderr


def test_pgbouncer_pools_transactions() -> None:
    read = configparser.ConfigParser(interpolation=None)
    read.read(DEPLOY / "pgbouncer" / "pgbouncer.ini")

    assert read["pgbouncer"]["pool_mode"] == "transaction"
    assert "opsportal" in read["databases"]
