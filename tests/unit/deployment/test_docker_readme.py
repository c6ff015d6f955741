"""docker/README.md names what is there, and what it tells to type does what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.deployment import COMPOSE, DOCKER, DOCKERFILES, README, ROOT, SERVICES, make_secrets, service


def test_the_readme_names_files_services_and_variables_that_exist() -> None:
    for name in re.findall(r"`([\w.-]+\.(?:yaml|yml|txt|sh|py|example)|Dockerfile\.\w+)`", README):
        assert (DOCKER / name).exists() or name in ("compose.override.yaml", "mnist.py"), name
    for name in DOCKERFILES:
        assert f"`{name}`" in README
    for name in re.findall(r"docker/[\w./-]+", README):
        assert (ROOT / name.partition("$")[0]).exists(), name
    assert (ROOT / "studies" / "digits.toml").is_file()
    # What begins with our own name is for the program that follows on the line.
    for variable in re.findall(r"^(?!ORCHESTRATOR_)([A-Z_]+)=", README, re.MULTILINE):
        assert variable in (DOCKER / ".env.example").read_text()


def test_the_readme_calls_compose_with_services_and_profiles_that_exist() -> None:
    lines = re.findall(r"docker compose ([^`\n#]*)", README)
    assert len(lines) > 5
    for line in lines:
        words = line.split()
        for profile in re.findall(r"--profile (\S+)", line):
            assert any(profile in service(name).get("profiles", []) for name in SERVICES)
        if "up" in words:
            named = [word for word in words[words.index("up") + 1 :] if not word.startswith("-")]
        else:
            named = re.findall(r"(?:restart|run --rm|logs --follow) (\w+)", line)
        assert set(named) <= set(SERVICES), line


def test_what_the_readme_starts_without_a_gpu_is_all_but_the_worker_on_gpus() -> None:
    (line,) = re.findall(r"Without a GPU: `docker compose up --build --detach ([^`]*)`", README)
    started: set[str] = set()
    todo = line.split()
    while todo:
        name = todo.pop()
        started.add(name)
        todo += service(name).get("depends_on", {})
    wanted = {name for name in SERVICES if service(name).get("profiles", ["cpu"]) == ["cpu"]}
    assert started == wanted - {"worker"}


def test_the_passwords_that_the_readme_makes_are_those_that_compose_wants(tmp_path: Path) -> None:
    secrets = make_secrets(tmp_path)
    assert {path.name for path in secrets.iterdir()} == set(COMPOSE["secrets"])
    assert secrets.stat().st_mode & 0o777 == 0o700
    for path in secrets.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644
    user, _, hashed = (secrets / "web_htpasswd").read_text().strip().partition(":")
    password = (secrets / "web_password").read_text().strip()
    salt = hashed.split("$")[2]
    command = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    again = subprocess.run(command, input=password, capture_output=True, text=True, check=True)
    assert (user, hashed) == ("admin", again.stdout.strip())
