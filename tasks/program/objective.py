"""The objective whose trials are runs of a program."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import optuna
from optuna.distributions import json_to_distribution

from tasks.program import command as placeholder
from tasks.program.allowlist import CommandAllowlist
from tasks.program.command import OBJECTIVE as OBJECTIVE
from tasks.program.command import Command, fill
from tasks.program.metrics import BadReport, LineReader, PatternReader, Report, read_report
from tasks.program.process import ProgramProcess
from tasks.trainer.slicing import CheckpointMissing
from tasks.trial_files import PROGRAM, file_digest, new_digest

if TYPE_CHECKING:
    from tasks.trainer.trial import WorkerTrial

GRACE_SHARE = 0.8
"""Share of the trial's grace period that its program gets; the rest is for this process, which the worker would kill
at its end."""

PARAMS = "ORCHESTRATOR_PARAMS_FILE"
CHECKPOINTS = "ORCHESTRATOR_CHECKPOINT_DIR"
ARTIFACTS = "ORCHESTRATOR_ARTIFACT_DIR"
RESUME_STEP = "ORCHESTRATOR_RESUME_STEP"
TRIAL = "ORCHESTRATOR_TRIAL"
STUDY = "ORCHESTRATOR_STUDY"
"""Variables that every program gets, beside ``ORCHESTRATOR_REPORT_FD``."""


class NoValue(ValueError):
    """The program ended well, and has reported no value."""


def refusal(arguments: Mapping[str, Any]) -> str:
    """Returns in one line why this worker does not run the command of these arguments, or nothing.

    Raises:
        BadSetting: the worker's list cannot be read.
    """
    return CommandAllowlist.of(os.environ).refuse(msgspec.convert(arguments["command"], Command))


def digest(arguments: Mapping[str, Any]) -> str:
    """Returns the digest (BLAKE2b, hex) of the files that the words of the command name, with their names."""
    result = new_digest()
    for word in msgspec.convert(arguments["command"], Command).run:
        with contextlib.suppress(OSError, ValueError):
            if os.path.isfile(word):
                result.update(f"{word}\0{file_digest(Path(word))}\0".encode(errors="replace"))
    return result.hexdigest()


def train(
    trial: WorkerTrial, command: dict[str, Any], space: dict[str, str], grace: float, code_dir: str = ""
) -> float | tuple[float, ...]:
    """Runs the program once, and passes on what it reports.

    Args:
        trial: The trial.
        command: A ``Command`` in plain data.
        space: Optuna's distributions of the parameters as JSON, by name.
        grace: Seconds that the trial has to end after a stop.
        code_dir: Folder of the files that go with the study; empty where there are none.

    Returns:
        The values that the program has reported, one for each objective.

    Raises:
        ProgramMissing, ProgramFailed, ProgramDied: see ``tasks.program.process``.
        BadReport: it has reported something that cannot be understood.
        NoValue: it has reported no value.
        optuna.TrialPruned: the trial was stopped, or its slice is over.
    """
    for name, distribution in space.items():
        trial._suggest(name, json_to_distribution(distribution))
    return _Run(trial, msgspec.convert(command, Command), code_dir).run(grace * GRACE_SHARE)


class _Run:
    """One run of a program."""

    def __init__(self, trial: WorkerTrial, command: Command, code_dir: str) -> None:
        self._trial = trial
        self._code_dir = code_dir
        self._command = command
        self._checkpoints = trial.artifact_dir.with_name(PROGRAM) / "checkpoint"
        self._latest: dict[str, float] = {}
        self._best: float | None = None
        self._reports, self._output = LineReader(), LineReader()
        self._patterns = PatternReader(command.patterns)
        self._resumed = self._restore()
        self._step = -1 if self._resumed is None else self._resumed

    def run(self, grace: float) -> float | tuple[float, ...]:
        environment, words = self._prepare()
        process = self._process = ProgramProcess(words, environment, read_output=bool(self._command.patterns))
        try:
            process.read(self._on_reports, self._on_output)
            for line in self._reports.end():
                self._take(read_report(line))
            for line in self._output.end():
                self._take(self._patterns.read(line))
        except CheckpointMissing:
            raise CheckpointMissing(
                "trials of this study are paused and go on later, but the program has saved no checkpoint: it has to "
                f'write its state to the folder that {CHECKPOINTS} names, report "checkpoint": true, and go on from it '
                "when it is started again; or set restart = true in [pruner] to train promoted trials from the "
                "beginning"
            ) from None
        finally:
            process.end(grace)
        process.check()
        return self._result()

    def _prepare(self) -> tuple[dict[str, str], list[str]]:
        """Makes the program's files; returns its environment and its words."""
        trial = self._trial
        params_file = self._checkpoints.with_name("params.json")
        params_file.write_text(json.dumps(trial.params))
        places = {
            placeholder.PARAMS_FILE: params_file,
            placeholder.CHECKPOINT_DIR: self._checkpoints,
            placeholder.ARTIFACT_DIR: trial.artifact_dir,
            placeholder.TRIAL: trial.number,
            placeholder.STUDY: trial.study.study_name,
        }
        if self._code_dir:
            places[placeholder.CODE_DIR] = self._code_dir
        values = places | trial.params
        environment = {
            **os.environ,
            # What it prints is to be in the log, and is matched by patterns, when it is printed.
            "PYTHONUNBUFFERED": "1",
            PARAMS: str(params_file),
            CHECKPOINTS: str(self._checkpoints),
            ARTIFACTS: str(trial.artifact_dir),
            TRIAL: str(trial.number),
            STUDY: trial.study.study_name,
            **{name: fill(text, values) for name, text in self._command.env.items()},
        }
        if self._resumed is not None:
            environment[RESUME_STEP] = str(self._resumed)
        return environment, [fill(word, values) for word in self._command.run]

    def _restore(self) -> int | None:
        """Puts the newest checkpoint in its place; returns its step, ``None`` where there is none."""
        self._checkpoints.parent.mkdir(parents=True, exist_ok=True)
        found = self._trial.load_checkpoint()
        if found is None:
            self._checkpoints.mkdir(exist_ok=True)
            return None
        os.replace(found.state, self._checkpoints)
        return found.step

    def _on_reports(self, data: bytes) -> None:
        for line in self._reports.feed(data):
            self._take(read_report(line))

    def _on_output(self, data: bytes) -> None:
        # To the trial's log, which a full disk may close.
        with contextlib.suppress(OSError):
            os.write(1, data)
        for line in self._output.feed(data):
            self._take(self._patterns.read(line))

    def _take(self, report: Report) -> None:
        """Takes in one line; reports a step where it names the metric that is judged."""
        command, trial = self._command, self._trial
        metrics = dict(report.metrics)
        step = metrics.pop(command.step, None)
        if step is not None:
            self._step = _whole(command.step, step)
        elif command.metric[0] in metrics and command.step not in self._latest:
            # It counts no steps: each value is one.
            self._step += 1
        self._latest |= report.metrics
        # Of several objectives none is judged before the end.
        judged = metrics.get(command.metric[0]) if len(command.metric) == 1 else None
        if judged is not None:
            if not math.isnan(judged):
                self._best = judged if self._best is None else _better(trial, self._best, judged)
            trial.report(judged, max(self._step, 0))
        if report.checkpoint:
            trial.save_checkpoint(self._checkpoints, max(self._step, 0))
            self._process.tell_taken()
        if judged is not None and trial.should_prune():
            raise optuna.TrialPruned

    def _result(self) -> float | tuple[float, ...]:
        command, latest = self._command, self._latest
        missing = [name for name in command.metric if name not in latest]
        if missing:
            names = ", ".join(f"'{name}'" for name in latest) or "nothing"
            raise NoValue(f"the program ended and has never reported '{missing[0]}'; it has reported {names}")
        for name in latest.keys() - {*command.metric, command.step}:
            self._trial.set_user_attr(name, latest[name])
        if command.result == "best" and self._best is not None:
            return self._best
        return tuple(latest[name] for name in command.metric)


def _better(trial: WorkerTrial, one: float, other: float) -> float:
    maximize = trial.study.direction is optuna.study.StudyDirection.MAXIMIZE
    return max(one, other) if maximize else min(one, other)


def _whole(name: str, value: float) -> int:
    if not value.is_integer() or value < 0:
        raise BadReport(f"{name!r:.100} is {value:g}, and steps are whole numbers from 0 on")
    return int(value)
