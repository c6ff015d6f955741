"""Command lines and settings of the container files: such as the program takes."""

from __future__ import annotations

import re
import secrets
import shlex
from pathlib import Path

import click
import pytest

from orchestrator.cli import cli
from orchestrator.common.settings import PREFIX, load_settings
from tests.deployment import (
    DOCKER,
    DOCKERFILES,
    README,
    SERVICES,
    check_command,
    dockerfile,
    environment,
    known_settings,
    last,
    service,
)

OF_THIS_MACHINE = {"secrets", "__pycache__", ".env"}
FILES = sorted(
    path for path in DOCKER.rglob("*") if path.is_file() and OF_THIS_MACHINE.isdisjoint(path.relative_to(DOCKER).parts)
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    assert set(re.findall(rf"{PREFIX}\w+", path.read_text())) <= known_settings() | {"ORCHESTRATOR_ENV"}


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" in service(name)])
def test_the_settings_of_a_service_are_accepted(name: str, tmp_path: Path) -> None:
    (tmp_path / "signing_key").write_text(secrets.token_hex(32))
    image = environment(Path(service(name)["build"]["dockerfile"]).name)
    filled = {
        key: re.sub(r"\{\w+\}", "0f3a", value).replace("/run/secrets", str(tmp_path))
        for key, value in (image | service(name)["environment"]).items()
        if key.startswith(PREFIX)
    }
    settings = load_settings(filled)
    assert {"queue", "database"} & set(service(name)["networks"]) == {
        network for network, url in (("queue", settings.redis_url), ("database", settings.storage_url)) if url
    }


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
    check_command(command)


@pytest.mark.parametrize("wrong", [["serve", "--replicas=2"], ["worker", "--devices=0"]], ids=" ".join)
def test_a_wrong_option_would_be_found(wrong: list[str]) -> None:
    with pytest.raises(click.UsageError):
        check_command(["orchestrator", *wrong])
