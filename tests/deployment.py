"""The files in ``docker/``, read as strictly as an engine would read them, where none runs."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import yaml

from orchestrator.cli import cli
from orchestrator.common.settings import PREFIX, Settings
from tasks.worker import options
from tests.installed import require
from tests.pages import all_blocks

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
README = (DOCKER / "README.md").read_text()
DOCKERFILES = ("Dockerfile.control", "Dockerfile.worker")
WORKERS = ("worker", "worker-cpu")


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
SERVICES = tuple(COMPOSE["services"])


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


def known_settings() -> set[str]:
    """Returns the name of every setting that something of ours reads."""
    source = "".join(path.read_text() for path in Path(options.__file__).parent.glob("*.py"))
    read_by_workers = set(re.findall(rf"{PREFIX}[A-Z_]+", source))
    return {PREFIX + field.upper() for field in Settings.model_fields} | read_by_workers


def entrypoint_variables() -> list[str]:
    """Returns the variables that the entrypoint fills passwords into."""
    found = re.search(r"^for variable in (.*); do$", (DOCKER / "entrypoint.sh").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].split()


def check_command(command: list[str]) -> None:
    """Raises what the program would say against a command line of its own, without running it."""
    assert command[0] == "orchestrator"
    with cli.make_context("orchestrator", command[1:]) as context:
        name, found, rest = cli.resolve_command(context, command[1:])
        assert found is not None
        with found.make_context(name, list(rest), parent=context) as inner:
            assert isinstance(inner, click.Context)
    if name == "worker":
        options.parse(rest)


def make_secrets(folder: Path) -> Path:
    """Makes the secrets in ``folder``, which stands for a clone, as the README tells to; returns where they are."""
    require("openssl")
    (block,) = all_blocks("test_docker_readme")
    (folder / "docker").mkdir()
    subprocess.run(["sh", "-euc", block.text], cwd=folder, check=True, timeout=60)
    return folder / "docker" / "secrets"


def read_variables(path: Path) -> dict[str, str]:
    """Returns what an environment file sets."""
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass(frozen=True)
class Unit:
    """A unit of systemd: its sections, each a list of key and value, as a key may stand more than once."""

    sections: dict[str, list[tuple[str, str]]]

    @staticmethod
    def read(name: str) -> Unit:
        sections: dict[str, list[tuple[str, str]]] = {}
        for line in (DOCKER / "systemd" / name).read_text().splitlines():
            if line.startswith("["):
                current = sections.setdefault(line.strip("[]"), [])
            elif line and not line.startswith("#"):
                key, equals, value = line.partition("=")
                assert equals, line
                current.append((key, value))
        return Unit(sections)

    def all(self, key: str, section: str = "Service") -> list[str]:
        return [value for found, value in self.sections[section] if found == key]

    def one(self, key: str, section: str = "Service") -> str:
        (value,) = self.all(key, section)
        return value

    def command(self, variables: dict[str, str], instance: str) -> list[str]:
        """Returns the words of ExecStart: ``${A}`` filled in, ``$A`` as as many words as it has, ``%i`` a name."""
        words: list[str] = []
        for word in self.one("ExecStart").replace("%i", instance).split():
            if re.fullmatch(r"\$\w+", word):
                words += variables[word[1:]].split()
            else:
                words.append(re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], word))
        return words
