"""Command lines and settings of the container files: such as the program takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from orchestrator.cli import cli
from orchestrator.settings import PREFIX, load_settings
from tests.deployment import (
    DOCKER,
    DOCKERFILES,
    README,
    SERVICES,
    WORKERS,
    check_command,
    dockerfile,
    environment,
    known_settings,
    last,
    service,
)


@pytest.mark.parametrize(
    "path", sorted(path for path in DOCKER.iterdir() if path.is_file()), ids=lambda path: path.name
)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    assert set(re.findall(rf"{PREFIX}\w+", path.read_text())) <= known_settings()


@pytest.mark.parametrize("name", ["serve", *WORKERS])
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
    check_command(command)


@pytest.mark.parametrize("wrong", [["serve", "--replicas=2"], ["worker", "--devices=0"]], ids=" ".join)
def test_a_wrong_option_would_be_found(wrong: list[str]) -> None:
    with pytest.raises(click.UsageError):
        check_command(["orchestrator", *wrong])


def test_flower_is_a_command_of_celery_and_takes_its_settings() -> None:
    code = (
        "import flower.command, flower.options, celery.app.utils, inspect\n"
        "assert flower.command.is_flower_envvar('FLOWER_BASIC_AUTH')\n"
        "assert 'CELERY_BROKER_URL' in inspect.getsource(celery.app.utils)\n"
        "assert flower.options.default_options.port == 5555\n"
    )
    # In a process of its own: Flower defines options for the whole process when it is imported.
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert service("flower")["command"] == ["celery", "flower"]
    assert set(service("flower")["environment"]) == {"CELERY_BROKER_URL", "FLOWER_BASIC_AUTH"}
    assert service("flower")["ports"] == ["127.0.0.1:5555:5555"]
