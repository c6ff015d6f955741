"""Programs in a real training process: what they are given, what of their reports arrives, how they are stopped."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json

from tasks.code_bundle import bundle_reference
from tasks.contract import Attribute, CheckpointRef, Epoch, Failed, Finished, Imported, Paused, Slice
from tasks.program.allowlist import COMMANDS
from tasks.program.command import OBJECTIVE
from tasks.trainer_messages import CheckpointSaved, Ready, TrialLeft
from tests.unit.tasks.trainer.trainer_harness import TrainerHarness, running_trainer

ROOT = Path(__file__).parents[4]
SPACE = {"lr": distribution_to_json(FloatDistribution(0.0, 1.0))}

ARGPARSE = """
import argparse

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    args = parser.parse_args()
    for epoch in range(1, 4):
        print(f"epoch {epoch}: val_acc={args.lr * epoch:.3f}")
    print("done")

if __name__ == "__main__":
    main()
"""
REPORTING = """
from orchestrator import program

done = program.checkpoint_dir() / "done"
begin = program.resume_step() + 1
assert begin == (int(done.read_text()) + 1 if done.exists() else 0)
for step in range(begin, 6):
    draft = done.with_name("draft")
    draft.write_text(str(step))
    draft.replace(done)
    program.report(step=step, value=step + program.params["lr"], other=1, checkpoint=True)
"""


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[TrainerHarness]:
    with running_trainer(tmp_path, "", variables={COMMANDS: "*", "PYTHONPATH": str(ROOT)}) as made:
        yield made


def train(
    trainer: TrainerHarness, run: list[str], stop_at: int | None = None, objective: str = OBJECTIVE, **command: Any
) -> Any:
    """Has the program run in one trial; returns the outcome."""
    space = command.pop("space", SPACE)
    last = trainer.train(objective, stop_at, command={"run": run} | command, space=space, grace=2.0)
    assert isinstance(last, Ready)
    outcome = trainer.outcome
    refused = isinstance(outcome, Failed) and outcome.cause == "import"
    assert last.healthy or refused, last.why
    return outcome


def script(trainer: TrainerHarness, text: str, name: str = "script.py") -> str:
    (trainer.folder / name).write_text(text)
    return name


def epochs(trainer: TrainerHarness) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in trainer.of(Epoch)]


def test_an_unchanged_script_is_read_by_patterns(trainer: TrainerHarness) -> None:
    found = train(
        trainer,
        ["python", script(trainer, ARGPARSE), "--lr", "{lr}"],
        metric=["val_acc"],
        step="epoch",
        patterns={"epoch": r"epoch (\d+)", "val_acc": r"val_acc=([\d.]+)"},
    )

    assert found == Finished(values=(1.5,))
    assert epochs(trainer) == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert trainer.log.splitlines() == [*(f"epoch {n}: val_acc={n / 2:.3f}" for n in (1, 2, 3)), "done"]


def test_a_shell_script_reports_lines_of_json(trainer: TrainerHarness) -> None:
    text = """
    set -eu
    for step in 0 1 2; do echo "{\\"step\\": $step, \\"value\\": 0.$step}" >&"$ORCHESTRATOR_REPORT_FD"; done
    cat "$ORCHESTRATOR_PARAMS_FILE" > "$ORCHESTRATOR_ARTIFACT_DIR/params.json"
    echo "$1 $LR $ORCHESTRATOR_STUDY $ORCHESTRATOR_TRIAL"
    """

    found = train(trainer, ["sh", script(trainer, text, "train.sh"), "{trial}{{}}"], env={"LR": "<{lr}>"})

    assert found == Finished(values=(0.2,))
    assert epochs(trainer) == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert trainer.log.split() == ["1{}", "<0.5>", "s", "1"]
    assert json.loads((trainer.folder / "artifacts-1" / "files" / "params.json").read_text()) == {"lr": 0.5}


@pytest.mark.skipif(shutil.which("awk") is None, reason="there is no awk")
def test_a_program_in_another_language(trainer: TrainerHarness) -> None:
    script(trainer, 'BEGIN { for (i = 0; i < 3; i++) printf "{\\"value\\": %f}\\n", i * lr > report }', "train.awk")
    start = 'exec awk -v lr="$1" -v report="/dev/fd/$ORCHESTRATOR_REPORT_FD" -f train.awk'

    found = train(trainer, ["sh", "-c", start, "-", "{lr}"])

    assert found == Finished(values=(1.0,))
    assert epochs(trainer) == [(0, 0.0), (1, 0.5), (2, 1.0)]


def test_words_are_no_shells(trainer: TrainerHarness) -> None:
    choice = "$(touch evil); `touch evil` 'x' \" \\ *"
    space = {"lr": distribution_to_json(CategoricalDistribution([choice]))}
    trainer._answer = lambda _: 0.0

    text = "import sys\nfrom orchestrator import program\nprogram.report(value=1)\nprint(sys.argv[1])"
    found = train(trainer, ["python", script(trainer, text), "{lr}"], space=space)

    assert found == Finished(values=(1.0,))
    assert trainer.log == choice + "\n"
    assert not (trainer.folder / "evil").exists()


def reporting(line: str) -> list[str]:
    doubled = line.replace("{", "{{").replace("}", "}}")
    return ["sh", "-c", f"echo '{doubled}' >&$ORCHESTRATOR_REPORT_FD"]


@pytest.mark.parametrize(
    ("run", "cause", "error", "message"),
    [
        (["python", "-c", "exit('no data in /x')"], "exception", "ProgramFailed", "exit code 1: no data in /x"),
        (["sh", "-c", "echo CUDA out of memory; exit 3"], "out_of_memory", "ProgramFailed", "exit code 3: CUDA out"),
        (["sh", "-c", "kill -9 $$"], "died", "ProgramDied", "ended by SIGKILL"),
        (["sh", "-c", "kill -SEGV $$"], "died", "ProgramDied", "ended by SIGSEGV"),
        (["sh", "-c", "exit 137"], "died", "ProgramDied", "ended by SIGKILL"),
        (["true"], "exception", "NoValue", "ended and has never reported 'value'; it has reported nothing"),
        (["no-such-program"], "import", "ProgramMissing", "'no-such-program' is on no folder of the PATH"),
        (["./script.py"], "import", "ProgramMissing", "'./script.py' may not be executed: it lacks the mode"),
        (["./nothing.py"], "import", "ProgramMissing", "'./nothing.py' is no file that can be run"),
        (["./plain.sh"], "import", "ProgramMissing", "it is no program, and no first line #!… names what runs it"),
        (["./dos.sh"], "import", "ProgramMissing", r"there is no '/bin/sh\r', which its first line names"),
        (reporting("nonsense"), "exception", "BadReport", "a report is no JSON: 'nonsense'"),
        (reporting('{"value": 1, "step": 0.5}'), "exception", "BadReport", "'step' is 0.5"),
        (reporting('{"value": null}'), "nan", "ValueError", "nan is not acceptable"),
    ],
)
def test_ends_are_understood(trainer: TrainerHarness, run: list[str], cause: str, error: str, message: str) -> None:
    script(trainer, "")
    for name, text in (("plain.sh", b"true\n"), ("dos.sh", b"#!/bin/sh\r\ntrue\r\n")):
        (trainer.folder / name).write_bytes(text)
        (trainer.folder / name).chmod(0o700)

    found = train(trainer, run)

    assert isinstance(found, Failed)
    assert (found.cause, found.error) == (cause, error)
    assert message in found.message
    if cause == "died":
        assert found.exit_code is not None
        assert found.exit_code < 0


def test_what_it_printed_last_stands_in_the_traceback(trainer: TrainerHarness) -> None:
    found = train(trainer, ["sh", "-c", "echo first; echo last >&2; exit 2"])

    assert isinstance(found, Failed)
    assert found.traceback.endswith("the last lines of its output:\nfirst\nlast\n")


def test_the_value_is_the_last_or_the_best_one(trainer: TrainerHarness) -> None:
    text = 'for v in 3 1 2; do echo "{\\"value\\": $v, \\"other\\": $v}" >&$ORCHESTRATOR_REPORT_FD; done'
    run = ["sh", script(trainer, text, "train.sh")]

    assert train(trainer, run) == Finished(values=(2.0,))
    assert [(each.key, each.value) for each in trainer.of(Attribute)] == [("other", "2.0")]
    assert train(trainer, run, result="best") == Finished(values=(1.0,))


def test_several_objectives(trainer: TrainerHarness) -> None:
    trainer.job = {"directions": ("minimize", "maximize")}
    run = reporting('{"loss": 1, "acc": 2}')

    assert train(trainer, run, metric=["loss", "acc"]) == Finished(values=(1.0, 2.0))
    assert epochs(trainer) == []


STUBBORN = """
import os, signal, subprocess, sys, time
{handler}
child = subprocess.Popen(["sleep", "600"])
with open("pids", "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}")
os.write(int(os.environ["ORCHESTRATOR_REPORT_FD"]), b'{{"value": 1}}\\n')
while True:
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("handler", "last"),
    [
        ("", ""),
        ("signal.signal(signal.SIGTERM, lambda *_: (print('in order'), sys.exit(0)))", "in order"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", ""),
    ],
    ids=["plain", "in order", "stubborn"],
)
def test_it_is_stopped_in_the_middle_of_an_epoch(trainer: TrainerHarness, handler: str, last: str) -> None:
    found = train(trainer, ["python", script(trainer, STUBBORN.format(handler=handler))], stop_at=0)

    assert isinstance(found, TrialLeft)
    assert trainer.log.strip() == last
    assert not any(map(is_alive, map(int, (trainer.folder / "pids").read_text().split())))


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_it_is_paused_and_goes_on_from_its_folder(trainer: TrainerHarness) -> None:
    run = ["python", script(trainer, REPORTING)]
    trainer.job = {"slice": Slice(until_step=2, checkpoint_by=3)}

    assert train(trainer, run) == Paused(step=2)
    assert epochs(trainer)[:3] == [(0, 0.5), (1, 1.5), (2, 2.5)]
    saved = trainer.of(CheckpointSaved)[-1]

    trainer.job = {
        "checkpoints": (CheckpointRef(step=2, location=saved.file, digest=saved.digest, size=saved.size),),
        "attempt": 2,
    }
    assert train(trainer, run) == Finished(values=(5.5,))
    assert epochs(trainer) == [(3, 3.5), (4, 4.5), (5, 5.5)]


def test_one_that_saves_nothing_cannot_be_paused(trainer: TrainerHarness) -> None:
    trainer.job = {"slice": Slice(until_step=0, checkpoint_by=1)}
    text = "from orchestrator import program\nfor step in range(9):\n    program.report(step=step, value=0)\n"

    found = train(trainer, ["python", script(trainer, text)])

    assert isinstance(found, Failed)
    assert found.cause == "checkpoint"
    assert 'report "checkpoint": true' in found.message


def test_the_digest_is_that_of_the_files_that_the_words_name(trainer: TrainerHarness) -> None:
    digests = []
    for text in ("exit 1", "exit 1", "exit 2"):
        train(trainer, ["sh", script(trainer, text, "train.sh")])
        digests.append(trainer.of(Imported)[0].digest)

    assert digests[0] == digests[1] != digests[2]


def test_what_its_owner_does_not_list_is_not_run(tmp_path: Path) -> None:
    with running_trainer(tmp_path, "", variables={COMMANDS: "python train.py"}) as trainer:
        found = train(trainer, ["touch", "evil"])

    assert isinstance(found, Failed)
    assert (found.cause, found.error) == ("import", "NotAdmitted")
    assert "this worker does not run this command" in found.message
    assert not (tmp_path / "evil").exists()


def test_files_that_come_with_a_program_lie_in_its_code_folder(tmp_path: Path) -> None:
    listed = "python {code_dir}/train.py"
    folder = tmp_path / "unpacked" / ("0" * 64)
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg" / "__init__.py").write_text("VALUE = 3")
    (folder / "train.py").write_text("import pkg; print('value=%d' % pkg.VALUE)")
    (tmp_path / "train.py").write_text("print('value=1')")
    with running_trainer(tmp_path, "", variables={COMMANDS: listed}) as trainer:
        trainer.code = (str(folder),)
        sent, patterns = bundle_reference("0" * 64, OBJECTIVE), {"value": r"value=(\d)"}
        ran = train(trainer, listed.split(), objective=sent, patterns=patterns)
        digest = trainer.of(Imported)[0].digest
        refused = train(trainer, ["python", "train.py"], objective=sent, patterns=patterns)

    assert ran == Finished(values=(3.0,))
    assert digest == "0" * 64
    assert isinstance(refused, Failed)
    assert "this worker does not run this command" in refused.message


def test_a_script_started_by_hand_drops_its_reports() -> None:
    text = "from orchestrator import program; program.report(value=1); assert program.params == {}"

    assert subprocess.run([sys.executable, "-c", text], cwd=ROOT).returncode == 0


ACCELERATED = """
import argparse
import os
import time
from pathlib import Path

import torch
from accelerate import Accelerator


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--hang", action="store_true")
    args = parser.parse_args()
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    model, optimizer = accelerator.prepare(model, optimizer)
    Path(f"rank-{accelerator.process_index}").write_text(str(os.getpid()))
    for epoch in range(1, 4):
        loss = model(torch.ones(4, 1)).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        mean = accelerator.gather(loss.detach().reshape(1)).mean().item()
        accelerator.print(f"epoch {epoch}: ranks={accelerator.num_processes} loss={mean:.6f}", flush=True)
        if args.hang:
            time.sleep(600)
    # Without it a rank may abort as it exits, when the other one, and what the two share, is gone.
    accelerator.end_training()


if __name__ == "__main__":
    main()
"""
LAUNCH = ["accelerate", "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
"""By torch's launcher; the script then trains on the CPU."""
DEFAULTS = ["--mixed_precision", "no", "--dynamo_backend", "no"]
PRINTED = {"epoch": r"epoch (\d+)", "loss": r"loss=([\d.]+)", "ranks": r"ranks=(\d)"}


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="accelerate is not installed")
@pytest.mark.parametrize("hang", [[], pytest.param(["--hang"], marks=pytest.mark.long)])
def test_accelerate_launches_a_process_for_each_rank(trainer: TrainerHarness, hang: list[str]) -> None:
    """A stop ends the launcher and both ranks."""
    launch = [
        *LAUNCH,
        *DEFAULTS,
        "--main_process_port",
        "0",
        script(trainer, ACCELERATED),
        "--lr",
        "{lr}",
        *hang,
    ]
    found = train(trainer, launch, metric=["loss"], step="epoch", patterns=PRINTED, stop_at=1 if hang else None)

    ranks = sorted(trainer.folder.glob("rank-*"))
    assert [rank.name for rank in ranks] == ["rank-0", "rank-1"]
    assert not any(is_alive(int(rank.read_text())) for rank in ranks)
    steps = [epoch.step for epoch in trainer.of(Epoch)]
    if hang:
        assert steps == [1]
        assert isinstance(found, TrialLeft)
    else:
        assert steps == [1, 2, 3]
        assert found == Finished(values=(trainer.of(Epoch)[-1].value,))
        assert Attribute(key="ranks", value="2.0") in trainer.of(Attribute)
