"""Objectives that the integration tests send to real workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import optuna

while (awaited := os.environ.get("IMPORT_WAITS_FOR")) and not Path(awaited).exists():
    time.sleep(0.01)


def steady(trial: optuna.Trial, *, epochs: int = 6, seconds: float = 0.01, gate: str = "") -> float:
    """Learns steadily; how well depends on its parameters alone. Its last epoch waits for the file ``gate``."""
    x = trial.suggest_float("x", 0.0, 1.0)
    kind = trial.suggest_categorical("kind", ["plain", "fancy", None])
    value = 0.0
    for step in range(1, epochs + 1):
        time.sleep(seconds)
        while gate and step == epochs and not Path(gate).exists():
            time.sleep(0.01)
        value = x * step + (0.01 if kind == "fancy" else 0.0)
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def long_epochs(trial: optuna.Trial, *, folder: str, seconds: float = 20.0) -> float:
    """Trials that are worse than the first one sit in an epoch of 20 s; what happens to them is written down."""
    good = trial.number < 1 or trial.number % 2 == 0
    note = {"number": trial.number, "pid": os.getpid(), "interrupted": False}
    try:
        trial.report(1.0 if good else 0.0, 1)
        if good:
            return 1.0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(seconds)
        return 0.0
    except optuna.TrialPruned:
        note |= {"interrupted": True, "left": time.time()}
        raise
    finally:
        Path(folder, f"{trial.number}.json").write_text(json.dumps(note))


def waits(trial: optuna.Trial, *, folder: str, ready: int = 0, helped: bool = False) -> float:
    """Reports once, then waits for a file to appear; a trial that is stopped meanwhile leaves at once.

    The first ``ready`` trials do not wait. One that is ``helped`` has a process in a session of its own, which is
    written down.
    """
    x = trial.suggest_float("x", 0.0, 1.0)
    if helped:
        helper = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(folder, f"{trial.number}.helper").write_text(str(helper.pid))
    trial.report(x, 1)
    while trial.number >= ready and not Path(folder, "go").exists():
        time.sleep(0.01)
    trial.report(2 * x, 2)
    return 2 * x


def climbs(trial: optuna.Trial, *, folder: str, epochs: int = 27, saves: str = "after", seconds: float = 0.0) -> float:
    """Later trials are worse. Each epoch that is trained is written down, with the process that trained it.

    ``saves`` a checkpoint "after" or "before" its report, or "never".
    """
    save = getattr(trial, "save_checkpoint", None)
    done = trial.load_checkpoint() if hasattr(trial, "load_checkpoint") else None
    first = 1 if done is None else done.step + 1
    total = 0.0 if done is None else done.state["total"]
    for step in range(first, epochs + 1):
        time.sleep(seconds)
        total += 1.0 / (1 + trial.number)
        with Path(folder, f"{trial.number}.epochs").open("a") as log:
            log.write(f"{step} {os.getpid()}\n")
        if save and saves == "before":
            save({"total": total}, step)
        trial.report(total / step, step)
        if save and saves == "after":
            save({"total": total}, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return total / epochs


def fails(trial: optuna.Trial) -> float:
    """Is broken in the same way every time."""
    trial.suggest_float("x", 0.0, 1.0)
    raise ValueError("the data set is not there")


def sometimes(trial: optuna.Trial) -> float:
    """Every third trial raises, dies, or returns nonsense; the others are fine. NaN is reported on the way."""
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.report(float("nan"), 1)
    trial.report(x, 2)
    match trial.number:
        case 1:
            raise RuntimeError("it broke")
        case 3:
            return float("nan")
        case 5:
            os._exit(3)
        case 7:
            return None  # type: ignore[return-value]
    return x


def models(trial: optuna.Trial, *, folder: str = "", epochs: int = 3) -> float:
    """Later trials are better. Each saves a model after every epoch, and leaves a file and one of its own store."""
    total = float(trial.number)
    (trial.artifact_dir / "plots").mkdir(exist_ok=True)
    (trial.artifact_dir / "plots" / "curve.txt").write_text(f"curve of {trial.number}")
    if folder:
        own = Path(folder, f"own-{trial.number}.txt")
        own.write_text("its own")
        store = optuna.artifacts.FileSystemArtifactStore(folder)
        optuna.artifacts.upload_artifact(artifact_store=store, file_path=str(own), study_or_trial=trial)
    done = trial.load_checkpoint()
    for step in range(1 if done is None else done.step + 1, epochs + 1):
        trial.save_model({"number": trial.number, "step": step})
        trial.save_checkpoint({}, step)
        trial.report(total, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return total


def leaves_files(trial: optuna.Trial) -> float:
    """Trial 0 is good, the first bad one is stopped in a long epoch, the next one dies. All have saved something."""
    (trial.artifact_dir / "notes.txt").write_text(str(trial.number))
    trial.save_model(b"weights")
    if trial.number == 2:
        os._exit(3)
    trial.report(float(trial.number), 1)
    if trial.number == 1:
        time.sleep(60)
    return float(trial.number)


def plays(trial: optuna.Trial, *, parts: list[str], folder: str) -> float:
    """Each trial plays the part at its number: "steps" waits for a file before each epoch, "stays" never ends."""
    trial.suggest_float("x", 0.0, 1.0)
    match parts[trial.number]:
        case "steps":
            for step in range(1, 6):
                while not Path(folder, str(step)).exists():
                    time.sleep(0.01)
                trial.report(step / 2, step)
        case "fails":
            raise ValueError("the data set is not there")
        case "bad" | "stays" as part:
            trial.report(0.0 if part == "bad" else 1.0, 1)
            time.sleep(600)
        case "prunes itself":
            raise optuna.TrialPruned
    return float(trial.number)


not_callable = 42


def saves_seldom(trial: optuna.Trial, *, folder: str, epochs: int, every: int, gate: int, seconds: float) -> float:
    """Saves a checkpoint every so many epochs; after epoch ``gate`` it waits for a file. Each attempt notes the step
    that it goes on from: one that is stopped as it saves could note nothing afterwards."""
    done = trial.load_checkpoint()  # type: ignore[attr-defined]
    begun = 0 if done is None else done.step
    with Path(folder, "begun").open("a") as log:
        log.write(f"{begun}\n")
    for step in range(begun + 1, epochs + 1):
        time.sleep(seconds)
        trial.report(step / epochs, step)
        while step == gate and not Path(folder, "go").exists():
            time.sleep(0.01)
        if step % every == 0:
            trial.save_checkpoint({"step": step}, step)  # type: ignore[attr-defined]
    return 1.0


def lingers(trial: optuna.Trial, *, folder: str) -> float:
    """Trial 0 is lost, says that it is being stopped, and leaves once it is let go; the others are quick."""
    try:
        # The stop may come as soon as this is said.
        trial.report(100.0 if trial.number == 0 else 0.0, 1)
        time.sleep(0.0 if trial.number else 300.0)
    finally:
        if trial.number == 0:
            Path(folder, "leaving").touch()
            while not Path(folder, "go").exists():
                time.sleep(0.01)
    return 0.0


def eventful(trial: optuna.Trial) -> float:
    """Trial 0 is good and leaves a link; 2 dies, 4 raises, and the others are worse and sit in a long epoch."""
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.number == 0:
        (trial.artifact_dir / "link").symlink_to("/nowhere")  # type: ignore[attr-defined]
    if trial.number == 2:
        os._exit(3)
    if trial.number == 4:
        raise ValueError("it broke")
    for step in range(1, 5):
        trial.report(x - trial.number, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    time.sleep(0.0 if trial.number == 0 else 60.0)
    return x


def strays(trial: optuna.Trial, *, folder: str, gate: str) -> float:
    """Starts a process with its own session and an empty environment, whose parent ends; writes down its id."""
    script = "import os, sys; os.fork() and os._exit(0); open(sys.argv[1], 'w').write(str(os.getpid())); os.pause()"
    script = script.replace("os.pause()", "import signal; signal.pause()")
    note = Path(folder) / f"stray-{trial.number}-{os.getpid()}"
    command = [sys.executable, "-I", "-c", script, str(note)]
    subprocess.run(command, env={}, start_new_session=True, check=True, stdin=subprocess.DEVNULL)
    while not (note.exists() and note.read_text()):
        time.sleep(0.01)
    trial.report(0.5, 1)
    while not Path(gate).exists():
        time.sleep(0.01)
    return 1.0


def unstorable(trial: optuna.Trial, *, store: str) -> float:
    """Saves a model while the artifact store is no folder any more."""
    trial.report(0.5, 1)
    shutil.rmtree(store)
    Path(store).write_text("")
    trial.save_model({"step": 1})  # type: ignore[attr-defined]
    return 0.5
