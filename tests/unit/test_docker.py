"""The container files, held against the repository: no Docker engine is needed, so all that can be read is read."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestrator.cli import cli
from orchestrator.settings import PREFIX, Settings, load_settings
from orchestrator.spec.model import Spec
from orchestrator.storage import WriterLease
from orchestrator.storage.database import Database
from tasks import worker
from tasks.keeper.keeper import DRAIN_SECONDS

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
README = (DOCKER / "README.md").read_text()
DOCKERFILES = ("Dockerfile.control", "Dockerfile.worker")
WORKERS = ("worker", "worker-cpu")
SERVICES = ("redis", "postgres", "serve", *WORKERS, "flower")

# What the Compose specification calls them; of its keys, those that these files have a use for.
TOP_LEVEL = {"name", "services", "networks", "volumes", "secrets"}
SERVICE_KEYS = {
    *("build", "cap_drop", "command", "depends_on", "deploy", "environment", "healthcheck", "image", "init"),
    *("logging", "networks", "ports", "profiles", "restart", "secrets", "security_opt", "shm_size"),
    *("stop_grace_period", "volumes"),
}


# -- reading the files --------------------------------------------------------------------------------------------


class Strict(yaml.SafeLoader):
    """YAML where a key that stands twice is an error; PyYAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {sorted(twice)}", node.start_mark)
        self.flatten_mapping(node)
        # Not super(): flattened, a key that overrides a merged one stands there twice by right.
        return {self.construct_object(key, deep): self.construct_object(value, deep) for key, value in node.value}


def _mapping(loader: Strict, node: yaml.MappingNode) -> dict[Hashable, Any]:
    return loader.construct_mapping(node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)

VARIABLE = re.compile(r"(?<!\$)\$(?:\{(?P<name>\w+)(?::?-(?P<default>[^}]*))?\}|(?P<bare>\w+))")


def strings(value: object) -> Iterator[str]:
    """Yields every string in a parsed file."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for part in pair for text in strings(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in strings(part))


def interpolated(value: Any) -> Any:
    """Returns the value as Compose sees it where nothing is set: defaults put in, ``$$`` made ``$``."""
    if isinstance(value, dict):
        return {key: interpolated(part) for key, part in value.items()}
    if isinstance(value, list):
        return [interpolated(part) for part in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: found["default"] or "", value).replace("$$", "$")
    return value


COMPOSE: dict[str, Any] = yaml.load((DOCKER / "compose.yaml").read_text(), Strict)
STACK: dict[str, Any] = interpolated(COMPOSE)


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, its lines joined."""

    name: str
    text: str

    def words(self) -> list[str]:
        """Returns its arguments without flags."""
        return [word for word in shlex.split(self.text) if not word.startswith("--")]

    def command(self) -> list[str]:
        """Returns the command of a CMD, ENTRYPOINT or HEALTHCHECK, which must be in exec form."""
        parsed = json.loads(self.text[self.text.index("[") :])
        assert all(isinstance(word, str) for word in parsed)
        return list(parsed)


def dockerfile(name: str) -> list[Instruction]:
    lines = [line for line in (DOCKER / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [Instruction(words[0], words[1]) for words in found]


def last(name: str, instruction: str) -> Instruction:
    return [each for each in dockerfile(name) if each.name == instruction][-1]


def environment(name: str) -> dict[str, str]:
    """Returns what the Dockerfile's ENV instructions set."""
    words = [word for each in dockerfile(name) if each.name == "ENV" for word in each.words()]
    return dict(word.split("=", 1) for word in words)


def service(name: str) -> dict[str, Any]:
    found = STACK["services"][name]
    assert isinstance(found, dict)
    return found


def healthcheck(name: str) -> list[str]:
    """Returns the command of a service's health check, from its image where Compose names none."""
    if "healthcheck" in service(name):
        return list(service(name)["healthcheck"]["test"][1:])
    return last(Path(service(name)["build"]["dockerfile"]).name, "HEALTHCHECK").command()


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    assert found is not None, duration
    return int(found[1]) * (60 if found[2] == "m" else 1)


# -- compose.yaml -------------------------------------------------------------------------------------------------


def test_a_key_that_stands_twice_is_found() -> None:
    with pytest.raises(yaml.constructor.ConstructorError, match="twice"):
        yaml.load("a: {b: 1, b: 2}", Strict)
    assert yaml.load("x: &x {a: 1}\ny: {<<: *x, a: 2}", Strict)["y"] == {"a": 2}


def test_compose_has_the_services_and_no_misspelt_key() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == TOP_LEVEL
    assert set(COMPOSE["services"]) == set(SERVICES)
    for name in SERVICES:
        assert set(service(name)) <= SERVICE_KEYS, name


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_from_a_pinned_image_or_is_built_here(name: str) -> None:
    _, colon, tag = service(name)["image"].partition(":")
    assert colon
    assert tag != "latest"
    if name in ("redis", "postgres"):
        assert re.match(r"\d+(\.\d+)?-", tag)
    else:
        build = service(name)["build"]
        assert (DOCKER / build["context"]).resolve() == ROOT
        assert (DOCKER / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_is_there(name: str) -> None:
    found = service(name)
    for other, how in found.get("depends_on", {}).items():
        assert how["condition"] in ("service_healthy", "service_started")
        assert healthcheck(other)
    assert found["networks"]
    assert set(found["networks"]) <= set(COMPOSE["networks"])
    assert set(found.get("secrets", [])) <= set(COMPOSE["secrets"])
    for volume in found.get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (DOCKER / source).is_dir(), volume
    for variable, value in found.get("environment", {}).items():
        for secret in re.findall(r"\{(\w+)\}", value):
            assert secret in found["secrets"]
            # Only these does the entrypoint fill in.
            assert variable in entrypoint_variables()
    for path in strings(found):
        assert set(re.findall(r"/run/secrets/(\w+)", path)) <= set(found.get("secrets", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_back_and_is_watched(name: str) -> None:
    assert service(name)["restart"] == "unless-stopped"
    assert healthcheck(name)
    if name not in ("redis", "postgres"):
        assert service(name)["init"] is True
        assert service(name)["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in service(name).get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    assert ("ports" in service(name)) == (name == "flower")


def test_no_password_is_in_the_file() -> None:
    assert {name: secret["file"] for name, secret in COMPOSE["secrets"].items()} == {
        name: f"secrets/{name}" for name in ("redis_password", "postgres_password", "flower_password")
    }
    for text in strings(COMPOSE["services"]):
        # user:password@ of a URL, and user:password of Flower
        for password in re.findall(r"://[^/]*:([^/@]*)@", text) + re.findall(r"^[^/ ]*admin\}?:(.*)$", text):
            assert re.fullmatch(r"\{\w+_password\}", password), text
    ignored = (DOCKER / ".gitignore").read_text().split()
    assert {"/.env", "/secrets/"} <= set(ignored)


def test_redis_keeps_what_it_is_given() -> None:
    shell, option, script = service("redis")["command"]
    assert (shell, option) == ("sh", "-c")
    # exec: a shell in between would not hand a SIGTERM on.
    assert script.startswith("exec docker-entrypoint.sh redis-server - <<END\n")
    lines = [line.split(maxsplit=1) for line in script.splitlines()[1:-1]]
    assert dict(lines) == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "requirepass": "$(cat /run/secrets/redis_password)",
    }
    assert "redis-data:/data" in service("redis")["volumes"]
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    assert subprocess.run(["sh", "-n", "-c", healthcheck("redis")[0]], check=False).returncode == 0


def test_postgres_reads_its_password_from_a_file_and_is_the_database_that_serve_names() -> None:
    variables = service("postgres")["environment"]
    assert variables["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"
    assert "postgres-data:/var/lib/postgresql/data" in service("postgres")["volumes"]
    url = service("serve")["environment"]["ORCHESTRATOR_STORAGE_URL"]
    place = f"{{postgres_password}}@postgres:5432/{variables['POSTGRES_DB']}"
    assert url == f"postgresql+psycopg://{variables['POSTGRES_USER']}:{place}"
    assert f"--username={variables['POSTGRES_USER']}" in healthcheck("postgres")


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_knows_of_no_database(name: str) -> None:
    found = service(name)
    urls = {variable for variable in found["environment"] if variable.startswith(PREFIX) and "URL" in variable}
    assert urls == {"ORCHESTRATOR_REDIS_URL", "ORCHESTRATOR_CHECKPOINT_URL", "ORCHESTRATOR_ARTIFACT_URL"}
    assert found["secrets"] == ["redis_password"]
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
    assert all("profiles" not in service(name) for name in SERVICES if name != "worker-cpu")
    assert environment("Dockerfile.worker")["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment("Dockerfile.worker")["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


def test_one_control_plane_can_stand_by() -> None:
    assert service("serve")["deploy"]["replicas"] == 2
    # Either would allow only one of them.
    assert not {"ports", "container_name"} & set(service("serve"))


def test_env_example_lists_what_compose_reads_with_its_defaults() -> None:
    read = {
        found["name"] or found["bare"]: found["default"] or ""
        for text in strings(COMPOSE)
        for found in VARIABLE.finditer(text)
    }
    lines = (DOCKER / ".env.example").read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines if line and not line.startswith("#")) == read


# -- commands and settings ----------------------------------------------------------------------------------------


def known_settings() -> set[str]:
    read_by_workers = set(re.findall(rf"{PREFIX}[A-Z_]+", Path(worker.__file__).read_text()))
    return {PREFIX + field.upper() for field in Settings.model_fields} | read_by_workers


@pytest.mark.parametrize(
    "path", sorted(path for path in DOCKER.iterdir() if path.is_file()), ids=lambda path: path.name
)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    assert set(re.findall(rf"{PREFIX}\w+", path.read_text())) <= known_settings()


@pytest.mark.parametrize("name", ["serve", *WORKERS, "flower"])
def test_the_settings_of_a_service_are_accepted(name: str) -> None:
    image = environment(Path(service(name)["build"]["dockerfile"]).name)
    filled = {
        key: re.sub(r"\{\w+\}", "0f3a", value)
        for key, value in (image | service(name)["environment"]).items()
        if key.startswith(PREFIX)
    }
    assert load_settings(filled).redis_url == "redis://:0f3a@redis:6379/0"


def commands() -> list[list[str]]:
    """Every command line that starts with ``orchestrator``, wherever one stands."""
    found = [service(name)["command"] for name in SERVICES if "command" in service(name)]
    found += [last(name, "CMD").command() for name in DOCKERFILES]
    text = README + "".join(each.text + "\n" for name in DOCKERFILES for each in dockerfile(name))
    for line in re.findall(r"(?:`| serve |&& )(orchestrator [^`\n&]*)", text):
        found.append(shlex.split(line.partition(" #")[0]))
    return [command for command in found if command[0] == "orchestrator"]


def test_the_commands_are_found() -> None:
    assert {command[1] for command in commands()} >= {"serve", "worker", "submit", "--version"}


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_line_is_one_that_the_program_takes(command: list[str]) -> None:
    if command[1:] in (["--version"], ["submit"]):
        # The one ends the program while it is parsed; the other stands in the text without its argument.
        assert command[1] == "--version" or "submit" in cli.commands
        return
    with cli.make_context("orchestrator", command[1:]) as context:
        name, found, rest = cli.resolve_command(context, command[1:])
        assert found is not None
        with found.make_context(name, list(rest), parent=context) as inner:
            assert isinstance(inner, click.Context)
    if name == "worker":
        options = worker._parse(rest)
        assert options.per_gpu == 1
        assert options.queues == "trials"


@pytest.mark.parametrize("wrong", [["serve", "--replicas=2"], ["worker", "--devices=0"]], ids=" ".join)
def test_a_wrong_option_would_be_found(wrong: list[str]) -> None:
    with pytest.raises(click.UsageError):
        test_every_command_line_is_one_that_the_program_takes(["orchestrator", *wrong])


def test_flower_is_published_and_asks_for_its_password() -> None:
    found = service("flower")
    assert found["ports"] == ["127.0.0.1:5555:5555"]
    # Its container's port cannot be reached at the container's own loopback address.
    assert found["command"] == ["orchestrator", "flower", "--address=0.0.0.0"]
    assert found["environment"]["ORCHESTRATOR_FLOWER_AUTH"] == "admin:{flower_password}"
    assert found["environment"]["ORCHESTRATOR_DATA_DIR"] == found["volumes"][0].partition(":")[2]


# -- images -------------------------------------------------------------------------------------------------------


def sent_to_the_builder(name: str, path: str) -> bool:
    """Whether the Dockerfile's own ignore file lets a path through: the last rule that fits it, or a parent, wins."""
    rules = [line for line in (DOCKER / f"{name}.dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    sent = True
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        parents = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        candidates = parts if "**/" in rule else parents
        if any(fnmatch.fnmatchcase(each, pattern) for each in candidates):
            sent = rule.startswith("!")
    return sent


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_an_image_copies_is_there_and_secrets_stay_out(name: str) -> None:
    copies = [each for each in dockerfile(name) if each.name == "COPY" and "--from=" not in each.text]
    sources = {source for each in copies for source in each.words()[:-1]}
    assert {"pyproject.toml", "docker/constraints.txt", "orchestrator", "tasks"} <= sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert sent_to_the_builder(name, source), source
    for path in ("docker/secrets/redis_password", "docker/.env", ".git/config", ".venv/pyvenv.cfg", ".orchestrator"):
        assert not sent_to_the_builder(name, path), path
    assert sent_to_the_builder(name, "tasks/keeper/slots.py")
    assert not sent_to_the_builder(name, "tasks/keeper/__pycache__/slots.cpython-311.pyc")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_pinned_and_runs_as_nobody_special(name: str) -> None:
    instructions = dockerfile(name)
    for each in instructions:
        if each.name == "FROM":
            assert each.words()[0] == "python:3.11-slim-bookworm"
        if "pip install" in each.text:
            assert "-c docker/constraints.txt" in each.text or "pip install --no-deps ." in each.text
    user = last(name, "USER").text
    assert user not in ("root", "0")
    created = [each for each in instructions if "useradd" in each.text]
    assert created[-1].text.split("&&")[0].split()[-1] == user
    # After the last stage's USER nothing is done that needs another.
    after = instructions[instructions.index(last(name, "USER")) :]
    assert {each.name for each in after} == {"USER", "WORKDIR", "ENTRYPOINT", "CMD", "HEALTHCHECK"}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_python_in_a_dockerfile_compiles(name: str) -> None:
    for each in dockerfile(name):
        for code in re.findall(r'python -c "([^"]*)"', each.text):
            compile(code, name, "exec")


def left_out() -> list[str]:
    (argument,) = (each for each in dockerfile("Dockerfile.control") if each.name == "ARG")
    name, _, value = argument.words()[0].partition("=")
    assert name == "WITHOUT"
    assert service("serve")["build"]["args"] == {"WITHOUT": value}
    return value.split()


def test_the_control_plane_runs_without_what_its_image_leaves_out() -> None:
    (code,) = re.findall(r'python -c "([^"]*)"', "".join(each.text for each in dockerfile("Dockerfile.control")))
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in left_out())
    health = "import sqlalchemy, tasks.app, orchestrator.storage.tables, orchestrator.spec.samplers"
    subprocess.run([sys.executable, "-c", f"import sys; {blocked}{code}; {health}"], check=True, timeout=100)


def dependencies() -> dict[str, Requirement]:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return {canonicalize_name(entry.name): entry for entry in map(Requirement, listed)}


def test_the_control_image_gets_every_other_dependency() -> None:
    script = [sys.executable, str(DOCKER / "requirements.py"), str(ROOT / "pyproject.toml")]
    done = subprocess.run([*script, *left_out()], check=True, capture_output=True, text=True, timeout=60)
    given = {Requirement(line).name for line in done.stdout.splitlines()}
    assert given == {entry.name for entry in dependencies().values()} - {"torch", "torchvision"}
    done = subprocess.run([*script], check=True, capture_output=True, text=True, timeout=60)
    assert len(done.stdout.splitlines()) == len(dependencies())


def test_leaving_out_what_is_no_dependency_is_an_error() -> None:
    requirements: Callable[[str, set[str]], list[str]] = load(DOCKER / "requirements.py").requirements
    with pytest.raises(SystemExit, match="pytorch"):
        requirements('[project]\ndependencies = ["torch>=2"]', {"pytorch"})


def test_constraints_pin_every_dependency_to_a_version_it_allows() -> None:
    lines = (DOCKER / "constraints.txt").read_text().splitlines()
    pinned: dict[str, str] = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        found = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)", line)
        assert found is not None, line
        assert canonicalize_name(found[1]) not in pinned, line
        pinned[canonicalize_name(found[1])] = found[2]
    for name, entry in dependencies().items():
        assert name in pinned, name
        assert entry.specifier.contains(pinned[name]), f"{entry} is pinned to {pinned[name]}"


# -- health checks ------------------------------------------------------------------------------------------------

CHECKS = {"serve": "serve", "worker": "worker", "worker-cpu": "worker", "flower": "flower"}


@pytest.mark.parametrize("name", CHECKS)
def test_a_health_check_runs_a_check_that_exists(name: str) -> None:
    program, *rest = healthcheck(name)
    assert program == "entrypoint"
    assert rest == ["python", "-I", "/opt/health.py", CHECKS[name]]
    assert callable(getattr(load(DOCKER / "health.py"), CHECKS[name]))
    copies = [
        each.words() for each in dockerfile(Path(service(name)["build"]["dockerfile"]).name) if each.name == "COPY"
    ]
    assert ["docker/health.py", "/opt/health.py"] in copies
    assert ["docker/entrypoint.sh", "/usr/local/bin/entrypoint"] in copies


@pytest.mark.parametrize("name", WORKERS)
def test_the_health_check_asks_for_the_name_that_the_worker_has(name: str) -> None:
    known = load(DOCKER / "health.py").WORKER
    assert worker._parse(service(name)["command"][2:]).name == known
    assert worker._parse(last("Dockerfile.worker", "CMD").command()[2:]).name == known


class Answering:
    """A Redis that is there."""

    def ping(self) -> bool:
        return True


def test_serve_is_healthy_while_somebody_holds_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", url)
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setattr("tasks.app.connect", lambda _: Answering())
    health = load(DOCKER / "health.py")
    database = Database(url)
    database.prepare()
    assert health.main(["serve"]) == 1
    assert "no control plane holds the writer's lease" in capsys.readouterr().err
    WriterLease(database, 60).acquire()
    assert health.main(["serve"]) == 0
    monkeypatch.setattr(time, "time", lambda clock=time.time: clock() + 61)
    assert health.main(["serve"]) == 1
    database.close()


class Fleet:
    """A Celery application whose workers answer; in the place of its ``control`` and ``inspect`` as well."""

    def __init__(self, *names: str) -> None:
        self.control = self
        self.names = names

    def inspect(self, destination: list[str], timeout: float, limit: int) -> Fleet:
        assert timeout < 15
        assert limit == len(destination)
        return Fleet(*(name for name in self.names if name in destination))

    def ping(self) -> dict[str, dict[str, str]] | None:
        # None is what Celery gives where nobody answers.
        return {name: {"ok": "pong"} for name in self.names} or None


def test_a_worker_is_healthy_while_it_answers_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setattr("tasks.app.connect", lambda _: Answering())
    health = load(DOCKER / "health.py")
    here = f"worker@{socket.gethostname()}"
    monkeypatch.setattr("tasks.app.create_app", lambda _: Fleet(here, "worker@elsewhere"))
    assert health.main(["worker"]) == 0
    monkeypatch.setattr("tasks.app.create_app", lambda _: Fleet("worker@elsewhere"))
    assert health.main(["worker"]) == 1
    assert f"{here} does not answer" in capsys.readouterr().err


def test_without_redis_nothing_is_healthy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # Port 1 is nobody's: it refuses at once.
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://127.0.0.1:1/0")
    health = load(DOCKER / "health.py")
    for check in ("serve", "worker", "flower"):
        assert health.main([check]) == 1
        assert "ConnectionError" in capsys.readouterr().err


# -- the entrypoint -----------------------------------------------------------------------------------------------


def entrypoint_variables() -> list[str]:
    found = re.search(r"^for variable in (.*); do$", (DOCKER / "entrypoint.sh").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].split()


def enter(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the entrypoint with a program that prints its environment."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    return subprocess.run(
        ["sh", str(DOCKER / "entrypoint.sh"), sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "SECRETS_DIR": str(folder)} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_entrypoint_fills_passwords_in(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text("a1_b-c.2\n")
    (tmp_path / "flower_password").write_text("f9")
    filled = json.loads(
        enter(
            tmp_path,
            ORCHESTRATOR_REDIS_URL="redis://:{redis_password}@redis:6379/0",
            ORCHESTRATOR_STORAGE_URL="postgresql://me:given@host/db?options=-c%20x",
            ORCHESTRATOR_FLOWER_AUTH="admin:{flower_password}",
        ).stdout
    )
    assert filled["ORCHESTRATOR_REDIS_URL"] == "redis://:a1_b-c.2@redis:6379/0"
    assert filled["ORCHESTRATOR_STORAGE_URL"] == "postgresql://me:given@host/db?options=-c%20x"
    assert filled["ORCHESTRATOR_FLOWER_AUTH"] == "admin:f9"


def test_the_entrypoint_leaves_unset_what_is_not_set(tmp_path: Path) -> None:
    # An empty variable would mean something else to some programs.
    assert not set(json.loads(enter(tmp_path).stdout)) & set(entrypoint_variables())


@pytest.mark.parametrize("secret", [None, "", "with space", "a@b", "two\nlines", "quote'", "$(id)", "per%41cent"])
def test_the_entrypoint_refuses_a_password_that_would_need_escaping(tmp_path: Path, secret: str | None) -> None:
    if secret is not None:
        (tmp_path / "redis_password").write_text(secret)
    done = enter(tmp_path, ORCHESTRATOR_REDIS_URL="redis://:{redis_password}@redis:6379/0")
    assert done.returncode == 2
    assert "redis_password" in done.stderr
    assert done.stdout == ""
    assert not secret or secret not in done.stderr


def test_the_entrypoint_becomes_the_command(tmp_path: Path) -> None:
    script = ["sh", str(DOCKER / "entrypoint.sh"), "sh", "-c", "echo $$; exit 7"]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, int(output)) == (7, process.pid)


# -- README -------------------------------------------------------------------------------------------------------


def test_the_readme_names_files_services_and_secrets_that_exist() -> None:
    for name in re.findall(r"`([\w.-]+\.(?:yaml|txt|sh|py|example)|Dockerfile\.\w+)`", README):
        assert (DOCKER / name).exists() or name in ("compose.override.yaml", "mnist.py"), name
    for name in DOCKERFILES:
        assert f"`{name}`" in README
    for line in re.findall(r"^docker compose (?:restart|run --rm|logs --follow) (.*)$", README, re.MULTILINE):
        assert line.split()[0] in SERVICES
    (created,) = re.findall(r"for name in (.*); do", README)
    assert set(created.split()) == set(COMPOSE["secrets"])
    assert (ROOT / "studies" / "digits.toml").is_file()
    for variable in re.findall(r"^([A-Z_]+)=", README, re.MULTILINE):
        assert variable in (DOCKER / ".env.example").read_text()
