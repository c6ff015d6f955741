"""Real workers: what ends an attempt is told apart, and tried again or not by what it was."""

from __future__ import annotations

from pathlib import Path

from fleet import Fleet, follow_to_end
from optuna.trial import FrozenTrial, TrialState

OBJECTIVE = """
import os, signal, subprocess, time
from pathlib import Path

def first_time(trial, folder, what):
    mark = Path(folder) / f"{what}-{trial.number}"
    if mark.exists():
        return False
    mark.touch()
    return True

def objective(trial, folder):
    what = ["stalls", "swallows", "memory", "raises", "nan", "fine", "slow", "silent"][trial.number]
    trial.set_user_attr("what", what)
    if what == "silent":
        time.sleep(600)
    trial.report(0.5, 1)
    if first_time(trial, folder, what):
        if what == "stalls":
            time.sleep(600)
        if what == "swallows":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen(["sleep", "601.5"])
            while True:
                try:
                    time.sleep(600)
                except BaseException:
                    pass
        if what == "memory":
            raise MemoryError("no more")
        if what == "raises":
            raise KeyError("once")
        if what == "nan":
            return float("nan")
        if what == "slow":
            for step in range(2, 6000):
                trial.report(0.25 if step == 4 else 0.75, step)
                time.sleep(0.1)
    trial.report(1.0, 2)
    return 1.0
"""
SPEC = """
name = "s"
objective = "causes:objective"
trials = 8
stall_timeout = 4
pruner.name = "none"
max_trial_time = 10
grace = 1
[args]
folder = "{folder}"
[retry]
max_attempts = 2
exception = 2
"""


def sleepers() -> list[str]:
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if b"601.5" in _read(path).split(b"\0")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_attempts_end_for_causes_that_are_told_apart(running_embedded: Fleet, tmp_path: Path) -> None:
    servers = running_embedded.servers
    assert servers is not None
    (tmp_path / "causes.py").write_text(OBJECTIVE)
    running_embedded.start("serve")
    running_embedded.start("worker", "--slots", "2")
    running_embedded.submit(running_embedded.write_spec(SPEC.format(folder=tmp_path)))

    end = follow_to_end(servers.client(), "s")

    trials: dict[str, FrozenTrial] = {each.user_attrs["what"]: each for each in servers.study("s").get_trials()}
    failed = {what for what, each in trials.items() if each.state is TrialState.FAIL}
    assert (end.complete, end.pruned, failed) == (5, 1, {"nan", "silent"}), running_embedded.logs()
    assert trials["nan"].user_attrs["failure"]["cause"] == "nan"
    causes = {}
    for what, each in trials.items():
        shown = running_embedded.call("why", "s", str(each.number), "--json")
        causes[what] = shown.stdout
    assert "stalled" in causes["stalls"]
    assert "stalled" in causes["swallows"]
    assert "out_of_memory" in causes["memory"]
    assert "exception" in causes["raises"]
    assert (trials["slow"].state, trials["slow"].value) == (TrialState.PRUNED, 0.25)
    assert "with its best value: it has trained for as long as a trial may" in causes["slow"]
    assert trials["silent"].user_attrs["failure"]["cause"] in ("time", "stalled")
    assert not sleepers(), "what a killed objective had started is gone with it"
