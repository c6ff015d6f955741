"""A person at a shell of a fleet, who has nothing but `doctor`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from fleet import PATIENCE, Fleet, Process, wait_for

from orchestrator.cli import cli
from tests import stand_ins

SPEC = """
name = "{name}"
objective = "objectives:waits"
trials = 4
max_steps = 2
queue = "{queue}"
{keys}
[args]
folder = "{folder}"
"""


class Person:
    """A person at a shell of the fleet, who has nothing but `doctor`."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet = fleet
        self.folder = folder
        programs = folder / "bin"
        stand_ins.make(programs)
        stand_ins.write_script(programs / "orchestrator", f'exec "{sys.executable}" -m orchestrator "$@"')
        self._path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def doctor(self, more: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
        """Returns what is wrong, by code."""
        none: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("ORCHESTRATOR_"))
        done = CliRunner().invoke(cli, ["doctor", "--json"], env=none | self.fleet.environment() | (more or {}))
        assert isinstance(done.exception, SystemExit | None), done.exc_info
        return {each["code"]: each for each in json.loads(done.stdout)["findings"] if each["severity"] != "ok"}

    def finds(self, code: str, more: Mapping[str, str] | None = None) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {}

        def is_found() -> bool:
            found.update(self.doctor(more))
            return code in found

        wait_for(is_found, f"the finding {code}")
        return found[code]

    def pastes(self, command: str, more: Mapping[str, str] | None = None) -> Process | None:
        """Runs a command in a shell; one that stays is left to itself."""
        environment = self.fleet.environment() | {"PATH": self._path} | (more or {})
        if " worker" in command or " serve" in command:
            return self.fleet.launch(["bash", "-c", command], "pasted", environment)
        done = subprocess.run(
            ["bash", "-c", command], env=environment, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return None

    def is_helped(self, code: str, helped: Callable[[], bool] = lambda: True) -> Process | None:
        """Finds it, pastes the command, and waits until that has helped, and it is not found any more."""
        finding = self.finds(code)
        assert finding["command"], finding
        pasted = self.pastes(finding["command"])
        wait_for(lambda: helped() and code not in self.doctor(), f"the help of {finding['command']}")
        return pasted

    def submits(self, name: str, queue: str, **keys: Any) -> None:
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        text = SPEC.format(name=name, queue=queue, folder=self.folder, keys=lines)
        for each in ("objective",):
            if each in keys:
                text = text.replace(f'{each} = "objectives:waits"\n', "", 1)
        self.fleet.submit(self.fleet.write_spec(text, f"{name}.toml"))

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.fleet.call("status", name, "--json").stdout)
        return found

    def trains(self, name: str) -> bool:
        return bool(self.status(name)["slots"])


def leads(process: Process) -> Process:
    wait_for(lambda: "writing in term" in process.log.read_text(), "it leads")
    return process
