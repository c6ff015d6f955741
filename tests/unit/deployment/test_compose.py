"""compose.yaml, held against the repository and the Compose specification."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from orchestrator.common.settings import PREFIX
from orchestrator.spec.model import Spec
from tasks.keeper.keeper import DRAIN_SECONDS
from tests.deployment import (
    COMPOSE,
    DOCKER,
    README,
    ROOT,
    SERVICES,
    VARIABLE,
    WORKERS,
    Strict,
    entrypoint_variables,
    environment,
    healthcheck,
    seconds,
    service,
    strings,
)

# What the Compose specification calls them; of its keys, those that these files have a use for.
MONITORING = ("prometheus", "grafana")
TOP_LEVEL = {"name", "services", "networks", "volumes", "secrets"}
SERVICE_KEYS = {
    *("build", "cap_drop", "command", "depends_on", "deploy", "environment", "healthcheck", "image", "init"),
    *("logging", "networks", "ports", "profiles", "read_only", "restart", "secrets", "security_opt"),
    *("shm_size", "stop_grace_period", "tmpfs", "user", "volumes"),
}


def test_a_key_that_stands_twice_is_found() -> None:
    with pytest.raises(yaml.constructor.ConstructorError, match="twice"):
        yaml.load("a: {b: 1, b: 2}", Strict)
    assert yaml.load("x: &x {a: 1}\ny: {<<: *x, a: 2}", Strict)["y"] == {"a": 2}


def test_compose_has_the_services_and_no_misspelt_key() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == TOP_LEVEL
    pages = ("flower", "dashboard", "proxy")
    assert set(SERVICES) == {"redis", "postgres", "prepare", "serve", "beat", *WORKERS, *pages, *MONITORING}
    for name in SERVICES:
        assert set(service(name)) <= SERVICE_KEYS, name


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_from_a_pinned_image_or_is_built_here(name: str) -> None:
    _, colon, tag = service(name)["image"].partition(":")
    assert colon
    assert tag != "latest"
    if "build" not in service(name):
        assert re.match(r"v?\d+\.?\d+", tag)
    else:
        build = service(name)["build"]
        assert (DOCKER / build["context"]).resolve() == ROOT
        assert (DOCKER / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_is_there(name: str) -> None:
    found = service(name)
    for other, how in found.get("depends_on", {}).items():
        # The one comes to its end, the others stay.
        assert (how["condition"] == "service_completed_successfully") == (other == "prepare")
        assert other == "prepare" or how["condition"] in ("service_healthy", "service_started")
    assert found["networks"]
    assert set(found["networks"]) <= set(COMPOSE["networks"])
    assert set(found.get("secrets", [])) <= set(COMPOSE["secrets"])
    for volume in found.get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (DOCKER / source).exists(), volume
        # What is ours is not changed from within.
        assert source in COMPOSE["volumes"] or volume.endswith(":ro"), volume
    for variable, value in found.get("environment", {}).items():
        for secret in re.findall(r"\{(\w+)\}", value):
            assert secret in found["secrets"]
            # Only these does the entrypoint fill in.
            assert variable in entrypoint_variables()
    for path in strings(found):
        assert set(re.findall(r"/run/secrets/(\w+)", path)) <= set(found.get("secrets", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_back_and_is_watched(name: str) -> None:
    if name == "prepare":
        assert service(name)["restart"] == "no"
        assert service(name)["healthcheck"] == {"disable": True}
    else:
        assert service(name)["restart"] == "unless-stopped"
        assert healthcheck(name)
    if name not in ("redis", "postgres"):
        # Those start as root, to give their volumes an owner, and leave it themselves.
        assert service(name)["security_opt"] == ["no-new-privileges:true"]
        assert service(name)["init"] is True
        assert service(name)["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in service(name).get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    assert ("ports" in service(name)) == (name == "proxy")


def test_no_password_is_in_the_file() -> None:
    assert {name: secret["file"] for name, secret in COMPOSE["secrets"].items()} == {
        name: f"secrets/{name}"
        for name in (
            *(f"redis_{role}_password" for role in ("control", "worker", "viewer", "flower")),
            *(f"postgres_{role}_password" for role in ("owner", "writer", "reader")),
            *("signing_key", "web_password", "web_htpasswd", "metrics_password", "grafana_password"),
        )
    }
    for text in strings(COMPOSE["services"]):
        # user:password@ of a URL, and user:password of a page
        for password in re.findall(r"://[^/]*:([^/@]*)@", text) + re.findall(r"^admin:(.*)$", text):
            assert re.fullmatch(r"\{\w+_password\}", password), text
    ignored = (DOCKER / ".gitignore").read_text().split()
    assert {"/.env", "/secrets/"} <= set(ignored)


def test_redis_keeps_its_data_and_refuses_clients_without_a_role() -> None:
    shell, option, script = service("redis")["command"]
    assert (shell, option) == ("sh", "-euc")
    umask, users, start, *lines, end = script.splitlines()
    assert umask == "umask 077"
    assert users.endswith("sh /opt/acl.sh /run/secrets/ > /data/users.acl")
    assert "./redis/acl.sh:/opt/acl.sh:ro" in service("redis")["volumes"]
    # exec: a shell in between would not hand a SIGTERM on.
    assert (start, end) == ("exec docker-entrypoint.sh redis-server - <<END", "END")
    assert dict(line.split(maxsplit=1) for line in lines) == {
        "aclfile": "/data/users.acl",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
    }
    assert "redis-data:/data" in service("redis")["volumes"]
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    assert subprocess.run(["sh", "-n", "-c", healthcheck("redis")[0]], check=False).returncode == 0


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" in service(name)])
def test_everybody_comes_in_by_the_least_role_and_knows_no_other_password(name: str) -> None:
    roles = {
        "serve": ("control", "writer"),
        "beat": ("control", "writer"),
        "prepare": ("", "owner"),
        "dashboard": ("", "reader"),
        "flower": ("flower", ""),
    }
    redis, postgresql = roles.get(name, ("worker", ""))
    variables = service(name)["environment"]
    found = {secret for secret in service(name)["secrets"] if secret.startswith(("redis", "postgres"))}
    assert found == {
        f"{server}_{role}_password" for server, role in (("redis", redis), ("postgres", postgresql)) if role
    }
    if redis:
        assert variables["ORCHESTRATOR_REDIS_URL"] == f"redis://{redis}:{{redis_{redis}_password}}@redis:6379/0"
    if postgresql:
        user = "orchestrator" if postgresql == "owner" else f"orchestrator_{postgresql}"
        place = f"{{postgres_{postgresql}_password}}@postgres:5432/orchestrator"
        assert variables["ORCHESTRATOR_STORAGE_URL"] == f"postgresql+psycopg://{user}:{place}"
    signs = name in ("serve", *WORKERS)
    assert (variables.get("ORCHESTRATOR_SIGNING_KEY_FILE") == "/run/secrets/signing_key") == signs
    assert ("signing_key" in service(name)["secrets"]) == signs


def test_postgres_reads_its_passwords_from_files_and_makes_the_roles_when_it_is_set_up() -> None:
    variables = service("postgres")["environment"]
    assert variables["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_owner_password"
    assert (variables["POSTGRES_USER"], variables["POSTGRES_DB"]) == ("orchestrator", "orchestrator")
    assert "postgres-data:/var/lib/postgresql/data" in service("postgres")["volumes"]
    assert "./postgres/roles.sql:/docker-entrypoint-initdb.d/roles.sql:ro" in service("postgres")["volumes"]
    wanted = re.findall(r"`cat :'folder'/(\w+)`", (DOCKER / "postgres" / "roles.sql").read_text())
    assert set(wanted) <= set(service("postgres")["secrets"])
    assert f"--username={variables['POSTGRES_USER']}" in healthcheck("postgres")


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_knows_of_no_database(name: str) -> None:
    found = service(name)
    urls = {variable for variable in found["environment"] if variable.startswith(PREFIX) and "URL" in variable}
    assert urls == {"ORCHESTRATOR_REDIS_URL", "ORCHESTRATOR_CHECKPOINT_URL", "ORCHESTRATOR_ARTIFACT_URL"}
    assert found["secrets"] == ["redis_worker_password", "signing_key", "metrics_password"]
    assert not set(found["networks"]) & set(service("postgres")["networks"])
    assert "ORCHESTRATOR_STORAGE_URL" not in (DOCKER / "Dockerfile.worker").read_text()


@pytest.mark.parametrize("name", WORKERS)
def test_the_control_plane_finds_what_the_workers_keep(name: str) -> None:
    """It deletes checkpoints and models; where it has another folder, they would stay for ever."""
    control, worker = service("serve"), service(name)
    assert "worker-data:/data" in control["volumes"]
    assert "worker-data:/data" in worker["volumes"]
    assert control["environment"]["ORCHESTRATOR_DATA_DIR"] == "/data"
    for variable in ("ORCHESTRATOR_CHECKPOINT_URL", "ORCHESTRATOR_ARTIFACT_URL"):
        assert control["environment"][variable] == worker["environment"][variable]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_time_to_hand_its_trials_back(name: str) -> None:
    grace = Spec.model_fields["grace"].default
    assert seconds(service(name)["stop_grace_period"]) >= 2 * (grace + DRAIN_SECONDS)
    # What depends on a service is stopped before it.
    assert "serve" in service(name)["depends_on"]


def test_only_the_gpu_worker_asks_for_gpus() -> None:
    devices = service("worker")["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert "deploy" not in service("worker-cpu")
    assert service("worker-cpu")["profiles"] == ["cpu"]
    assert {name for name in SERVICES if "profiles" in service(name)} == {"worker-cpu", *MONITORING}
    assert environment("Dockerfile.worker")["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment("Dockerfile.worker")["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


def test_one_control_plane_can_stand_by() -> None:
    assert service("serve")["deploy"]["replicas"] == 2
    # Either would allow only one of them.
    assert not {"ports", "container_name"} & set(service("serve"))


def test_nothing_but_the_proxy_leads_to_a_page() -> None:
    web = {name for name in SERVICES if "web" in service(name)["networks"]}
    assert web == {"flower", "dashboard", "proxy", "grafana"}
    assert service("proxy")["networks"] == ["web"]
    assert service("proxy")["user"].split(":")[0] not in ("", "0", "root")
    assert service("proxy")["read_only"] is True
    for name, variable in (("flower", "ORCHESTRATOR_FLOWER_AUTH"), ("dashboard", "ORCHESTRATOR_DASHBOARD_AUTH")):
        assert service(name)["environment"][variable] == "admin:{web_password}"
    # Studies are changed by the control plane alone.
    assert "--write" not in service("dashboard")["command"]
    config = (DOCKER / "proxy" / "nginx.conf").read_text()
    for name, port in re.findall(r"set \$\w+ (\w+):(\d+);", config):
        assert name in web
        assert port == {"dashboard": "8080", "flower": "5555", "grafana": "3000"}[name]
    assert "auth_basic off" not in config


def read_yaml(name: str) -> Any:
    return yaml.load((DOCKER / name).read_text(), Strict)


def test_monitoring_reads_what_is_there() -> None:
    jobs = read_yaml("prometheus.yml")["scrape_configs"]
    found = [each for job in jobs for each in job["dns_sd_configs"]]
    scraped = [(name, each["port"]) for each in found for name in each["names"]]
    assert sorted(scraped) == [(name, 9180) for name in sorted(["serve", *WORKERS])]
    for job in jobs:
        assert job["basic_auth"]["password_file"] == "/run/secrets/metrics_password"
    for name, port in scraped:
        shown = service(name)["environment"]
        assert shown["ORCHESTRATOR_METRICS_PORT"] == str(port)
        assert shown["ORCHESTRATOR_METRICS_PASSWORD_FILE"] == "/run/secrets/metrics_password"
        assert set(service(name)["networks"]) & set(service("prometheus")["networks"])
    assert f'job="{jobs[0]["job_name"]}"' in healthcheck("prometheus")[0]
    (source,) = read_yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = read_yaml("grafana/provisioning/dashboards/orchestrator.yaml")["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in service("grafana")["volumes"]
    uid = json.loads((DOCKER / "grafana" / "dashboards" / "orchestrator.json").read_text())["uid"]
    assert healthcheck("grafana")[0].partition("/uid/")[2].split()[0] == uid
    assert f"/grafana/d/{uid}" in README
    # A setting of Grafana's that ends so is the name of a file.
    assert service("grafana")["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"


def test_env_example_lists_what_compose_reads_with_its_defaults() -> None:
    read = {
        found["name"] or found["bare"]: found["default"] or ""
        for text in strings(COMPOSE)
        for found in VARIABLE.finditer(text)
    }
    lines = (DOCKER / ".env.example").read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines if line and not line.startswith("#")) == read
