"""The Dockerfiles, line by line, and what is installed in the images."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deployment import DOCKER, DOCKERFILES, ROOT, dockerfile, last, load, service


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
