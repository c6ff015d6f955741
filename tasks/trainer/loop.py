"""The trainer's main loop: runs jobs in the main thread, and reads messages of the keeper in another one."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import queue
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tasks.code_bundle import objective_of, split_reference
from tasks.codec import decode_to_trainer
from tasks.contract import Failed, Imported, Job
from tasks.framed_socket import FramedSocket, SocketClosed
from tasks.gc_tuning import GarbageCollector
from tasks.objective_allowlist import Allowlist
from tasks.program import objective as program
from tasks.trainer import health, objective_runner, stdio_redirect
from tasks.trainer.code_base import CodeBase
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter, log_to_trial
from tasks.trainer.fork_guard import ChildProcessStub, refuse_in_child
from tasks.trainer.interrupt import Interrupter
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.launcher_guard import set_script_name
from tasks.trainer.source_digest import SourceTracker
from tasks.trainer.trial import WorkerTrial
from tasks.trainer_messages import (
    FromTrainer,
    Preloaded,
    Ready,
    Shutdown,
    Stale,
    Stop,
    StudyReply,
    SuggestReply,
    TrainJob,
    TrialLeft,
)


class Trainer:
    """Serves one keeper.

    Args:
        wire: The socket to the keeper; when it closes, this process and all that it started end.
        admission: The admitted objectives.
    """

    def __init__(self, wire: FramedSocket, admission: Allowlist) -> None:
        self._wire = wire
        self._admission = admission
        self._sources = SourceTracker(admission.folders)
        self._code = CodeBase(admission.folders)
        self._jobs: queue.SimpleQueue[TrainJob | None] = queue.SimpleQueue()
        self._channel: KeeperChannel | None = None
        self._interrupter = Interrupter()
        self._garbage = GarbageCollector()
        self._loaded: dict[str, str] = {}
        self._studies: set[str] = set()
        self._baseline: health.Baseline | None = None
        self._pid = os.getpid()
        # Otherwise a forked child would keep the socket open after this process has died.
        os.register_at_fork(after_in_child=wire.close)

    def __reduce__(self) -> tuple[type[ChildProcessStub], tuple[()]]:
        return ChildProcessStub, ()

    def serve(self, preload: str = "", code: Sequence[str] = ()) -> None:
        """Trains jobs until the keeper has no more; then the process ends as any program does.

        Args:
            preload: Objective to import at once; empty for none.
            code: Import folders of its code bundle, where it has one.
        """
        threading.Thread(target=self._listen, name="keeper", daemon=True).start()
        if preload:
            self._send(self._preload(preload, code))
        while run := self._jobs.get():
            self._train(run)
        # Frozen objects are never finalized: the files of a module would not be flushed.
        gc.unfreeze()

    def _preload(self, reference: str, code: Sequence[str]) -> Preloaded:
        self._code.enter(code)
        set_script_name(reference)
        try:
            self._load(reference)
        except objective_runner.ObjectiveMissing as error:
            return Preloaded(objective=reference, error=str(error))
        return Preloaded(objective=reference)

    def _load(self, reference: str) -> None:
        """Imports an objective.

        The objects of the first import are frozen: with torch among them a collection takes over 100 ms, nearly all of
        it for modules that never die, while the slot idles after each trial. To freeze again later would keep the
        garbage of trials, too.
        """
        if reference not in self._loaded:
            first = not self._loaded
            # Its file may have been written since this process began.
            importlib.invalidate_caches()
            objective_runner.load(reference, self._admission)
            bundled = split_reference(reference)
            # A bundle never changes, and is its own digest.
            self._loaded[reference] = bundled[0] if bundled else self._sources.take(reference.partition(":")[0])
            if first:
                gc.collect()
                gc.freeze()

    def _digest(self, job: Job) -> str:
        """Returns the digest of what the trial trains by: the objective's source, or the files of its program."""
        return program.digest(job.args) if job.objective == program.OBJECTIVE else self._loaded[job.objective]

    def _changed(self, job: Job) -> str:
        """Returns why this process must not train the study, or nothing.

        A study that it has trained before goes on with the same code.
        """
        uid = job.uid
        if uid in self._studies or split_reference(job.objective):
            return ""
        importlib.invalidate_caches()
        if module := self._sources.changed():
            return f"the source of '{module}' has changed since it was imported"
        self._studies.add(uid)
        return ""

    def _train(self, run: TrainJob) -> None:
        job = run.job
        if why := self._changed(job):
            self._send(Stale(why=why))
            return
        stdio_redirect.redirect(run.log)
        self._code.enter(run.code)
        set_script_name(job.objective)
        self._interrupter.install()
        if job.objective not in self._loaded:
            # Threads and processes that the import starts stay for all trials.
            self._baseline = None
        with contextlib.suppress(objective_runner.ObjectiveMissing):  # reported by the run, below
            self._load(job.objective)
            self._send(Imported(digest=self._digest(job)))
        before = self._baseline or health.take_baseline()
        files = CheckpointWriter(
            Path(run.scratch), job.token, tuple(zip(job.checkpoints, run.checkpoints, strict=False))
        )
        artifacts = ArtifactWriter(Path(run.artifacts))
        channel = self._channel = KeeperChannel(self._send, self._interrupter, job.trial)
        trial = WorkerTrial(job, channel, files, artifacts)
        args = job.args
        if run.code and objective_of(job.objective) == program.OBJECTIVE:
            args = {**args, "code_dir": run.code[0]}
        outcome = objective_runner.run(job.objective, trial, args, self._interrupter, job.token, self._admission)
        channel.end()
        self._channel = None
        stdio_redirect.restore()
        measured = health.peak_gpu_memory()
        left = TrialLeft(token=job.token) if outcome is None else outcome
        self._send(msgspec.structs.replace(left, measured=measured) if measured else left)
        del trial
        # Modules that the objective has imported meanwhile: their files may change at any time.
        self._sources.watch()
        imported = isinstance(outcome, Failed) and outcome.cause == "import"
        why = "its objective could not be imported" if imported else health.find_problem(before)
        self._send(Ready(healthy=not why, why=why))
        self._garbage.collect()
        # For the next trial, while it is on its way.
        self._baseline = health.take_baseline()

    def _send(self, message: FromTrainer) -> None:
        if os.getpid() != self._pid:
            refuse_in_child()
        try:
            self._wire.send(message)
        except SocketClosed as error:
            log_to_trial(f"the way to the worker is closed, the training process ends: {error}")
            _end_session()

    def _listen(self) -> None:
        with contextlib.suppress(SocketClosed):
            while True:
                for data in self._wire.receive():
                    match decode_to_trainer(data):
                        case TrainJob() as run:
                            self._interrupter.forget(run.job.token)
                            self._jobs.put(run)
                        case Shutdown():
                            self._jobs.put(None)
                        case Stop(token=token):
                            self._interrupter.stop(token)
                            if (channel := self._channel) and self._interrupter.stopping:
                                channel.wake()
                        case SuggestReply() | StudyReply() as answer:
                            if channel := self._channel:
                                channel.deliver(answer)
        _end_session()


def _end_session() -> None:
    """Kills this process and all that the objective started: the keeper is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
