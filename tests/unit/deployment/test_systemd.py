"""The systemd units: known settings only, commands that the program takes, time to end, and rights taken away."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.common.settings import PREFIX, load_settings
from orchestrator.spec.model import Spec
from tasks.keeper.keeper import DRAIN_SECONDS
from tests.deployment import DOCKER, Unit, check_command, known_settings, read_variables
from tests.installed import program

UNITS = sorted(path.name for path in (DOCKER / "systemd").glob("*.service"))
SECTIONS = {
    "Unit": {"Description", "Wants", "After", "StartLimitIntervalSec"},
    "Service": {
        *("Type", "User", "Group", "EnvironmentFile", "ExecStart", "ExecStartPre", "Restart", "RestartSec"),
        *("KillMode", "KillSignal", "TimeoutStopSec", "OOMPolicy", "StateDirectory", "StateDirectoryMode"),
        *("WorkingDirectory", "UMask", "LimitNOFILE", "LimitMEMLOCK", "NoNewPrivileges", "CapabilityBoundingSet"),
        *("AmbientCapabilities", "ProtectSystem", "ProtectHome", "ProtectProc", "ProtectClock", "ProtectHostname"),
        *("ProtectControlGroups", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables"),
        *("PrivateDevices", "PrivateTmp", "PrivateUsers", "RemoveIPC", "RestrictAddressFamilies"),
        *("RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality"),
        *("SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber"),
    },
    "Install": {"WantedBy"},
}
MOST_EXPOSED = {"orchestrator-worker@.service": 40}
"""What ``systemd-analyze security`` may count, in tenths; 20 where nothing else is said."""


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_says_only_what_systemd_knows(name: str) -> None:
    unit = Unit.read(name)
    for section, entries in unit.sections.items():
        assert {key for key, _ in entries} <= SECTIONS[section], section
    for key in SECTIONS["Service"] - {"EnvironmentFile", "SystemCallFilter"}:
        assert len(unit.all(key)) <= 1, f"{key} stands twice"


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_runs_a_command_that_the_program_takes_with_settings_that_exist(name: str) -> None:
    unit = Unit.read(name)
    folder = DOCKER / "systemd"
    variables: dict[str, str] = {}
    for file in unit.all("EnvironmentFile"):
        if not file.startswith("-"):
            variables |= read_variables(folder / f"{Path(file).name}.example")
    assert {key for key in variables if key.startswith(PREFIX)} <= known_settings()
    settings = load_settings(variables)
    assert str(settings.data_dir) == f"/var/lib/{unit.one('StateDirectory')}"
    # A worker is told of no database.
    assert (settings.storage_url is None) == name.startswith("orchestrator-worker")
    program, *rest = unit.command(variables, instance="gpu0")
    assert program == "/opt/orchestrator/bin/orchestrator"
    check_command(["orchestrator", *rest])
    used = set(re.findall(r"\$\{?(\w+)", unit.one("ExecStart")))
    assert used <= set(variables)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_comes_back_and_has_the_time_to_end(name: str) -> None:
    unit = Unit.read(name)
    assert unit.one("Restart") == "always"
    # Servers that are away for long must not be the end of it.
    assert unit.one("StartLimitIntervalSec", "Unit") == "0"
    # SIGTERM for every process would reach the trainers before their trials have been handed back.
    assert unit.one("KillMode") == "mixed"
    assert unit.one("KillSignal") == "SIGTERM"
    if name.startswith("orchestrator-worker"):
        grace = Spec.model_fields["grace"].default
        assert int(unit.one("TimeoutStopSec")) >= 2 * (grace + DRAIN_SECONDS)
        # Else a trial that runs out of memory would end its worker and every other trial there.
        assert unit.one("OOMPolicy") == "continue"
        # CUDA needs its devices, and compiled kernels memory that is written and executed.
        assert not unit.all("PrivateDevices")
        assert not unit.all("SystemCallFilter")


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_its_rights_away(name: str) -> None:
    unit = Unit.read(name)
    assert unit.one("User") not in ("", "root")
    assert unit.one("NoNewPrivileges") == "yes"
    assert unit.one("ProtectSystem") == "strict"
    assert unit.one("CapabilityBoundingSet") == ""
    assert unit.one("ProtectHome") in ("yes", "read-only")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_itself_has_nothing_against_a_unit(name: str, tmp_path: Path) -> None:
    systemd = program("systemd-analyze")
    text = (DOCKER / "systemd" / name).read_text()
    unit = tmp_path / name
    # It looks whether the program is there.
    unit.write_text(text.replace("/opt/orchestrator/bin/orchestrator", sys.executable))
    verified = _analyze(systemd, "verify", "--man=no", str(unit))
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = _analyze(
        systemd, "security", "--offline=true", f"--threshold={MOST_EXPOSED.get(name, 20)}", "--no-pager", str(unit)
    )
    assert judged.returncode == 0, judged.stdout
    unit.write_text(unit.read_text().replace("KillMode=", "KilMode="))
    assert "KilMode" in _analyze(systemd, "verify", "--man=no", str(unit)).stderr


def _analyze(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_examples_hold_no_password() -> None:
    for path in (DOCKER / "systemd").glob("*.example"):
        for value in read_variables(path).values():
            for password in re.findall(r"://[^/]*:([^/@]*)@", value):
                assert password == "PASSWORD"
            assert shlex.split(value) is not None
