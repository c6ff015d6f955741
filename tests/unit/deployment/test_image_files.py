"""The Dockerfiles, line by line, and what is installed in the images."""

from __future__ import annotations

import fnmatch
import re
import shlex
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
def test_an_image_is_pinned_and_runs_as_an_unprivileged_user(name: str) -> None:
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


def test_the_control_image_takes_only_what_was_built() -> None:
    """Sources, pip's leavings and whatever builds stay in a stage that is not the image."""
    instructions = dockerfile("Dockerfile.control")
    stages = [each for each in instructions if each.name == "FROM"]
    assert [each.text.partition(" AS ")[2] for each in stages] == ["build", ""]
    final = instructions[instructions.index(stages[-1]) :]
    copies = [each.words() for each in final if each.name == "COPY"]
    assert ["/opt/venv", "/opt/venv"] in copies
    assert not any(word in each.text for each in final if each.name == "RUN" for word in ("pip", "apt", "curl"))


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
    built = "".join(each.text for each in dockerfile("Dockerfile.control"))
    checks = re.findall(r'python -c "([^"]*)"', built)
    assert len(checks) == built.count("python -c")
    hide = (
        "import sys\nclass Hidden:\n    def find_spec(self, name, *_):\n"
        f"        if name.partition('.')[0] in {left_out()}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )
    health = "import sqlalchemy, tasks.app, orchestrator.storage.own_tables, orchestrator.spec.sampler_factory"
    subprocess.run([sys.executable, "-c", hide + "\n".join([*checks, health])], check=True, timeout=100)


def dependencies(*extras: str) -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *(entry for each in extras for entry in project["optional-dependencies"][each])]
    return {canonicalize_name(entry.name): entry for entry in map(Requirement, listed)}


def test_the_control_image_gets_every_other_dependency_and_what_reports_and_pages_need() -> None:
    (line,) = (each.text for each in dockerfile("Dockerfile.control") if "requirements.py pyproject" in each.text)
    arguments = shlex.split(line.partition(">")[0].replace("${WITHOUT}", " ".join(left_out())))
    done = run([sys.executable, *arguments[1:]])
    given = {canonicalize_name(Requirement(line).name) for line in done.splitlines()}
    assert given == dependencies("dashboard", "report").keys() - {"torch", "torchvision"}
    # Nothing is left out where the argument of the build is empty.
    done = run([sys.executable, *shlex.split(line.partition(">")[0].replace("${WITHOUT}", ""))[1:]])
    assert len(done.splitlines()) == len(dependencies("dashboard", "report"))


def run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=ROOT).stdout


def test_a_name_that_is_no_dependency_or_no_extra_is_an_error() -> None:
    requirements: Callable[..., list[str]] = load(DOCKER / "requirements.py").requirements
    project = '[project]\ndependencies = ["torch>=2"]\noptional-dependencies.plots = ["plotly"]'
    assert requirements(project, ["plots"]) == ["torch>=2", "plotly"]
    with pytest.raises(SystemExit, match="pytorch"):
        requirements(project, without=["pytorch"])
    with pytest.raises(SystemExit, match="extras: plot"):
        requirements(project, ["plot"])


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
    for name, entry in dependencies("dashboard", "report", "libraries", "images").items():
        assert name in pinned, name
        assert entry.specifier.contains(pinned[name]), f"{entry} is pinned to {pinned[name]}"
