"""Test that the commands, options, settings, paths, ports and files named in deploy/ exist."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
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
KUBERNETES_VERSION = "1.31"
# Variables of Python and Kubernetes, which are not settings of the portal.
OTHER_VARIABLES = {"PYTHONUNBUFFERED", "POD_IP"}


def parse_options(arguments: list[str]) -> dict[str, Any]:
    """Parse the arguments of manage.py and return the options. Raise SystemExit if an argument is invalid."""
    name, *options = arguments
    command = load_command_class(get_commands()[name], name)
    return vars(command.create_parser("manage.py", name).parse_args(options))


def is_setting(name: str) -> bool:
    return name.removesuffix("_FILE") in SETTINGS or name in OTHER_VARIABLES


@pytest.mark.parametrize("file", ["compose.yaml", "deploy/compose.yaml"])
def test_compose_files_name_existing_files_settings_and_options(file: str) -> None:
    composed = yaml.safe_load((ROOT / file).read_text())
    services = composed["services"]
    folder = (ROOT / file).parent
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            # The folder ./tls is not in the repository: owners create it for their certificate.
            in_repository = source.startswith("./") and source != "./tls"
            assert not in_repository or (folder / source).exists(), (name, source)
            assert source.startswith("./") or source in composed["volumes"], (name, source)
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("secrets", [])) <= set(composed.get("secrets", {})), name
        if "build" in service:
            assert (folder / service["build"] / "Dockerfile").exists()
            assert [key for key in service["environment"] if not is_setting(key)] == [], name
            parse_options(service.get("command", ["serve"]))
    if file.startswith("deploy"):
        roles = [parse_options(s["command"]) for s in services.values() if "build" in s]
        assert [(r["no_web"], r["no_worker"]) for r in roles] == [(False, True)] * 2 + [
            (True, False)
        ] * 2
        upstreams = re.findall(
            r"server (\w+):(\d+)", (DEPLOY / "nginx" / "opsportal.conf").read_text()
        )
        assert {name for name, _ in upstreams} == {"web1", "web2"} <= set(services)
        assert {int(port) for _, port in upstreams} == {roles[0]["port"]}


def test_backups_work_in_the_workers_containers_and_outlive_them() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    _, _, server = services["db"]["image"].partition(":")

    assert f"postgresql-client-{server} " in DOCKERFILE
    for worker in ("worker1", "worker2"):
        assert services[worker]["volumes"] == ["backups:/data/backups"]
    assert re.search(r"install -d .*-o opsportal .*/data/backups\b", DOCKERFILE)


def test_the_kubernetes_file_names_existing_objects_settings_and_options() -> None:
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
            options = parse_options(container["args"])
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
            assert {m["mountPath"] for m in container["volumeMounts"]} == {"/data", "/tmp"}
            assert container["image"].startswith("opsportal:")
        pods[deployment["metadata"]["name"]] = template["metadata"]["labels"]
    for selecting in by_kind["Service"] + by_kind["PodDisruptionBudget"]:
        selector = selecting["spec"]["selector"]
        assert selector.get("matchLabels", selector) in pods.values()
    services = {d["metadata"]["name"]: d["spec"]["ports"][0]["name"] for d in by_kind["Service"]}
    for ingress in by_kind["Ingress"]:
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                assert services[backend["name"]] == backend["port"]["name"]


def test_the_kubernetes_file_is_valid_and_restricts_its_containers() -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "opsportal.yaml").read_text()))
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)

    for deployment in (d for d in documents if d["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            serves = container["args"][-1] == "--no-worker"
            assert serves == ("livenessProbe" in container) == ("readinessProbe" in container)


@pytest.mark.parametrize("file", ["compose.yaml", "deploy/compose.yaml"])
def test_compose_files_restrict_their_containers(file: str) -> None:
    for name, service in yaml.safe_load((ROOT / file).read_text())["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        if "build" in service:
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["tmpfs"] == ["/tmp"], name
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_units_use_existing_options_and_settings(unit: Path, tmp_path: Path) -> None:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read(unit)
    service = read["Service"]
    python, manage, *arguments = shlex.split(service["ExecStart"])
    assert (Path(python).name, manage) == ("python", "manage.py")
    parse_options(arguments)
    assert service["KillMode"] == "mixed"
    assigned = [pair.partition("=")[0] for pair in shlex.split(service["Environment"])]
    assert [name for name in assigned if not is_setting(name)] == []

    if verify := shutil.which("systemd-analyze"):
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text().replace(python, "/bin/true"))
        checked = subprocess.run(
            [verify, "verify", copy], capture_output=True, text=True, timeout=30
        )
        assert unit.name not in checked.stderr, checked.stderr


def test_the_dockerfile_names_existing_files_options_and_probes() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    command = re.search(r"^CMD \[(.+)\]$", DOCKERFILE, re.MULTILINE)
    assert command
    options = parse_options(re.findall(r'"([^"]+)"', command[1]))
    assert f"EXPOSE {options['port']}" in DOCKERFILE
    probed = re.search(r"'127\.0\.0\.1', (\d+).*'GET', '([^']+)'", DOCKERFILE)
    assert probed
    assert int(probed[1]) == options["port"]
    assert resolve(probed[2]).url_name == "liveness"


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    nginx = program("nginx")
    if not nginx:
        pytest.skip("nginx is not installed")
    certificate = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ops.shop.example",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        capture_output=True,
    )  # fmt: skip
    if certificate.returncode:
        pytest.skip("openssl is not installed")
    site = (DEPLOY / "nginx" / "opsportal.conf").read_text()
    for original, replacement in {
        "/etc/ssl/ops.shop.example.pem": tmp_path / "cert.pem",
        "/etc/ssl/private/ops.shop.example.key": tmp_path / "key.pem",
        "/etc/nginx/opsportal-proxy.conf": DEPLOY / "nginx" / "opsportal-proxy.conf",
        "web1:": "127.0.0.1:",
        "web2:": "127.0.0.2:",
        # `nginx -t` binds the ports, so the ports must be free.
        "listen 80;": f"listen 127.0.0.1:{process.free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{process.free_port()} ssl;",
    }.items():
        assert original in site
        site = site.replace(original, str(replacement))
    config = tmp_path / "nginx.conf"
    # Only root may write to the default folders for temporary files.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
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
