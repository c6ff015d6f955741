"""``Search.run`` in programs of the user's: a script, a thread, an event loop, a notebook; ended in every way."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from fleet import PATIENCE, Fleet, Process, wait_for, with_environment

SCRIPT = """
import gc, importlib.util, logging, os, signal, sys, threading
from pathlib import Path
from orchestrator import Search

CENTRE = 2.0


def distance(x):
    return (x - CENTRE) ** 2


def objective(trial):
    return distance(trial.suggest_float("x", -10, 10))


def state():
    loggers = {name: (each.level, each.propagate, list(each.handlers))
               for name, each in logging.root.manager.loggerDict.items()
               if isinstance(each, logging.Logger) and name.startswith("orchestrator")}
    return {
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "folder": os.getcwd(), "arguments": list(sys.argv), "path": list(sys.path), "hooks": list(sys.meta_path),
        "environment": dict(os.environ), "threads": threading.enumerate(), "root": list(logging.root.handlers),
        "levels": (logging.root.level, {name: value for name, value in loggers.items() if value[2] or not value[1]}),
        "garbage": gc.get_threshold(), "streams": (sys.stdout, sys.stderr), "umask": os.umask(os.umask(0o77) or 0o22),
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
    }


def caught(signum, frame):
    print("the program's own handler", flush=True)


signal.signal(signal.SIGTERM, caught)
before = state()
search = Search(objective, name="script", trials=5, seed=1)
study = search.run(slots=1)
after = state()
for key in before:
    assert before[key] == after[key], (key, before[key], after[key])
assert study.best_value == distance(study.best_params["x"]), study.best_params
if importlib.util.find_spec("pandas"):
    assert list(study.trials_dataframe().value) == [each.value for each in study.trials]
assert len(search.run(slots=1).trials) == 5, "it has finished"
assert len(Search(objective, name="script", trials=6, seed=1).run(slots=1, progress=False).trials) == 6
study.set_user_attr("note", "its storage is open")
print("done", study.user_attrs["note"])
"""
"""Has no main guard."""

GUARDED = """
import asyncio, multiprocessing, threading
from orchestrator import Search, StudyFailed


def objective(trial):
    return trial.suggest_float("x", -10, 10)


def fails(trial):
    raise ZeroDivisionError("no good")


def search(name):
    found.append(len(Search(objective, name=name, trials=2).run(slots=1, progress=False).trials))


async def in_loop():
    search("loop")
    await asyncio.sleep(0)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    found = []
    thread = threading.Thread(target=search, args=["thread"])
    thread.start()
    thread.join()
    asyncio.run(in_loop())
    try:
        Search(fails, name="fails", trials=4).run(slots=1, progress=False)
    except StudyFailed as error:
        found.append(str(error))
    print(found)
"""

SLOW = """
import signal
from orchestrator import Search


def objective(trial):
    import time

    x = trial.suggest_float("x", -10, 10)
    for epoch in range(600):
        time.sleep(0.05)
        trial.report(x, epoch)
    return x


if __name__ == "__main__":
    try:
        Search(objective, name="slow", trials=50).run(slots=1)
    except KeyboardInterrupt as error:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        print("interrupted:", error)
        raise SystemExit(7)
"""


LEFT = """
import os, signal, threading, time
from pathlib import Path
from orchestrator import Search, StudyFailed, connect


def objective(trial, folder):
    x = trial.suggest_float("x", -10, 10)
    while trial.number and not Path(folder, "go").exists():
        Path(folder, "waits").touch()
        time.sleep(0.02)
    return x


def interrupt():
    while not Path("waits").exists():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        Search(objective, name="left", trials=3, args={"folder": os.getcwd()}).run(slots=1, progress=False)
    except KeyboardInterrupt:
        pass
    with connect() as fleet:
        study = fleet["left"]
        print(study.state)
        try:
            study.wait()
        except StudyFailed as error:
            print(error)
        Path("go").touch()
        print(study.resume(slots=1, progress=False), len(study.wait().trials))
"""


def start(it: Fleet, text: str, folder: str = "a folder") -> Process:
    (it.folder / folder).mkdir(exist_ok=True)
    script = it.folder / folder / "search.py"
    script.write_text(text)
    # The user's process is warned of nothing.
    return it.launch([sys.executable, "-W", "error", str(script)], "script")


def finished(process: Process) -> str:
    assert process.popen.wait(PATIENCE) == 0, process.log.read_text()
    return process.log.read_text()


def nothing_left(it: Fleet) -> bool:
    return not with_environment("ORCHESTRATOR_DATA_DIR", str(it.folder / "data"))


def test_a_script_without_a_main_guard_runs_a_search_and_finds_its_process_as_it_was(alone: Fleet) -> None:
    said = finished(start(alone, SCRIPT))
    assert said.endswith("done its storage is open\n")
    assert said.count("trial 0 COMPLETE") == said.count("waiting for the first trial to start") == 1
    assert re.search(r"^best +\S+ by trial \d$", said, re.MULTILINE), "the summary of `orchestrator run`"
    assert "the program's own handler" not in said
    assert nothing_left(alone)
    left = {path.name for path in (alone.folder / "a folder").iterdir()} | {
        path.name for path in alone.folder.iterdir()
    }
    assert left <= {"search.py", "a folder", "data", "0-script.log"}, "it writes to its data folder alone"


@pytest.mark.long
def test_a_thread_an_event_loop_and_a_failing_objective(alone: Fleet) -> None:
    said = finished(start(alone, GUARDED))
    assert said.splitlines()[-1].startswith(
        "[2, 2, \"study 'fails' failed: the first 3 trials all failed alike: ZeroDivisionError: no good"
    )
    assert nothing_left(alone)


@pytest.mark.parametrize(
    ("signals", "code", "said"),
    [
        ([signal.SIGINT], 7, "interrupted: study 'slow' was interrupted; the same call goes on with it"),
        pytest.param([signal.SIGINT, signal.SIGINT], 7, "ended at once", marks=pytest.mark.long),
        pytest.param(
            [signal.SIGTERM], -signal.SIGTERM, "stopping; the same call goes on from here", marks=pytest.mark.long
        ),
    ],
)
def test_it_is_stopped_in_order(alone: Fleet, signals: list[signal.Signals], code: int, said: str) -> None:
    process = start(alone, SLOW)
    wait_for(lambda: "study slow running" in process.log.read_text() or process.popen.poll() is not None, "it runs")
    for number in signals:
        process.popen.send_signal(number)
        wait_for(lambda: "stopping" in process.log.read_text(), "it has heard it")
    assert process.popen.wait(PATIENCE) == code, process.log.read_text()
    assert said in process.log.read_text()
    wait_for(lambda: nothing_left(alone), "no process is left")


def test_a_study_that_was_interrupted_is_taken_up_by_its_handle(alone: Fleet) -> None:
    lines = finished(start(alone, LEFT)).splitlines()
    assert lines == ["interrupted", "study 'left' is interrupted, and no run works on it", "finished 3"]
    assert nothing_left(alone)


CELLS = (
    "from orchestrator import Search, connect",
    "def noise(epoch):\n    return 1 / (epoch + 1)",
    """
def objective(trial):
    import time

    x = trial.suggest_float("x", -10, 10)
    for epoch in range(4):
        time.sleep(0.05)
        trial.report((x - 2) ** 2 + noise(epoch), epoch)
    return (x - 2) ** 2
""",
    'search = Search(objective, name="cells", trials=8, max_steps=4, pruner="none")\nstudy = search.run(slots=2)',
    "study.best_params",
    'connect()["cells"]',
    'async for event in connect()["cells"].events():\n    print(event.state)',
)


def test_a_notebook_draws_the_search_in_place(alone: Fleet) -> None:
    cells = notebook(alone, CELLS)
    *drawn, summary = cells[3]
    assert [each["output_type"] for each in (*drawn, summary)] == ["display_data", "stream"]
    assert "result         finished" in summary["text"]
    page = drawn[0]["data"]["text/html"]
    assert page.count("<svg") == 2
    assert "8/8 trials" in page
    assert page.count("<td") >= 8 * 7, "a row for each trial"
    assert "8/8 trials" in drawn[0]["data"]["text/plain"]
    assert cells[4][0]["data"]["text/plain"].startswith("{'x': ")
    assert "8 complete" in cells[5][0]["data"]["text/html"]
    assert cells[6][0]["text"] == "finished\n"
    assert nothing_left(alone)


@pytest.mark.long
def test_a_notebooks_stop_button_stops_the_search_and_the_cell_goes_on_with_it(alone: Fleet) -> None:
    slow = CELLS[2].replace("0.05", "1.0 if trial.number > 1 and not trial.user_attrs.get('late') else 0.01")
    stop = (
        "import os, signal, threading\n"
        "def press():\n"
        "    while not [each for each in study_of().trials if each.state.is_finished()]:\n"
        "        pass\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "def study_of():\n"
        "    import time\n"
        "    time.sleep(0.2)\n"
        "    try:\n"
        "        return connect()['cells'].study\n"
        "    except Exception:\n"
        "        return type('none', (), {'trials': []})\n"
        "threading.Thread(target=press, daemon=True).start()"
    )
    run = f"try:\n    {CELLS[3].splitlines()[0]}\n    search.run(slots=2)\nexcept KeyboardInterrupt as error:\n"
    again = f"{run}    print(error)"
    cells = notebook(alone, (*CELLS[:2], slow, stop, again, "connect()['cells'].state"))
    assert "study 'cells' was interrupted; the same call goes on with it" in str(cells[4])
    assert cells[5][0]["data"]["text/plain"] == "'interrupted'"
    assert nothing_left(alone)


def notebook(it: Fleet, cells: tuple[str, ...]) -> list[list[dict[str, Any]]]:
    """Runs the cells in a kernel of their own; returns the outputs of each."""
    program = it.folder / "notebook.py"
    program.write_text(NOTEBOOK)
    given, outputs = it.folder / "cells.json", it.folder / "outputs.json"
    given.write_text(json.dumps(cells))
    environment = it.environment() | {"IPYTHONDIR": str(it.folder / "ipython"), "JUPYTER_PATH": str(kernels())}
    finished(it.launch([sys.executable, str(program), str(given), str(outputs)], "notebook", environment))
    found: list[list[dict[str, Any]]] = json.loads(outputs.read_text())
    return found


def kernels() -> Path:
    return Path(sys.prefix) / "share" / "jupyter"


NOTEBOOK = """
import json, sys
import nbformat
from nbclient import NotebookClient

cells = [nbformat.v4.new_code_cell(text) for text in json.load(open(sys.argv[1]))]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
json.dump([cell.outputs for cell in notebook.cells], open(sys.argv[2], "w"))
"""
