"""Two runs in one data folder: the second hands its study to the first, shows it, and takes over when that one ends."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest
from fleet import PATIENCE, STEADY, Fleet, Process, wait_for, with_environment

from orchestrator.storage.database import Database
from orchestrator.storage.store import Store
from tests import preloaded

SHARES = "works in this folder, and trains '{}' on its slots, too"


def write(it: Fleet, name: str, trials: int = 2000) -> Path:
    return it.write_spec(STEADY.format(name=name, trials=trials), f"{name}.toml")


def begin(it: Fleet, name: str, trials: int = 2000) -> Process:
    return it.start("run", str(write(it, name, trials)), "--slots", "1")


def says(run: Process, text: str) -> None:
    wait_for(lambda: text in run.log.read_text() or run.popen.poll() is not None, f"'{text}' of {run.log}")
    assert text in run.log.read_text(), run.log.read_text()


def state(it: Fleet, name: str) -> str | None:
    database = Database(f"sqlite:///{it.folder / 'data' / 'studies.db'}")
    store = Store(database)
    try:
        return store.state(name)
    finally:
        store.close()
        database.close()


@pytest.fixture
def pair(alone: Fleet) -> tuple[Fleet, Process, Process]:
    """The run of ``one``, which trains the study of the run of ``two``, too."""
    first = begin(alone, "one")
    says(first, "trial 1 COMPLETE")
    second = begin(alone, "two", 8)
    says(second, SHARES.format("two"))
    says(second, "trial 0 COMPLETE")
    return alone, first, second


def kill(first: Process) -> None:
    first.popen.send_signal(signal.SIGKILL)


def interrupt(first: Process) -> None:
    assert first.stop(signal.SIGINT) == 130


@pytest.mark.parametrize("end", [kill, pytest.param(interrupt, marks=pytest.mark.long)])
def test_the_second_takes_over_when_the_first_ends(
    pair: tuple[Fleet, Process, Process], end: Callable[[Process], None]
) -> None:
    it, first, second = pair
    end(first)
    says(second, "has ended; going on with 'two' here")
    says(second, "result         finished")
    wait_for(lambda: second.popen.poll() is not None, "its end")
    assert (second.popen.poll(), state(it, "two")) == (0, "finished")
    assert "8 ended: 8 complete" in second.log.read_text()
    assert not with_environment("ORCHESTRATOR_DATA_DIR", str(it.folder / "data"))


def test_the_end_of_the_second_ends_its_study_alone(alone: Fleet) -> None:
    first = begin(alone, "one")
    says(first, "trial 1 COMPLETE")
    for how in (signal.SIGINT, signal.SIGKILL):
        second = begin(alone, f"two-{how}")
        says(second, "trial 0 COMPLETE")
        second.popen.send_signal(how)
        wait_for(lambda name=f"two-{how}": state(alone, name) == "interrupted", "the interruption of its study")
    assert (state(alone, "one"), first.popen.poll()) == ("running", None)
    # The same study twice: the second shows it, and leaves it alone.
    again = begin(alone, "one")
    says(again, SHARES.format("one"))
    says(again, " COMPLETE")
    assert again.stop(signal.SIGINT) == 130
    assert "no longer watching; the search goes on where it was begun" in again.log.read_text()
    assert (state(alone, "one"), first.popen.poll()) == ("running", None)
    # What the first cannot train waits for its end.
    write(alone, "later", 1).write_text(
        STEADY.format(name="later", trials=1).replace("[args]", 'queue = "other"\n[args]', 1)
    )
    later = alone.start("run", str(alone.folder / "later.toml"), "--slots", "1")
    says(later, "serves the queue 'trials', not 'other'; 'later' begins when it has ended")
    # Another database is another search.
    elsewhere = {"ORCHESTRATOR_STORAGE_URL": f"sqlite:///{alone.folder / 'other.db'}"}
    environment, spec = alone.environment() | elsewhere, str(write(alone, "other", 1))
    other = preloaded.run("run", spec, environment=environment, folder=alone.folder, seconds=PATIENCE)
    assert other.returncode == 2
    assert "uses this data folder with another database or Redis" in other.stderr
    first.stop(signal.SIGINT)
    says(later, "result         finished")


def test_two_that_begin_at_the_same_moment_share(alone: Fleet) -> None:
    runs = [begin(alone, name, 3) for name in ("left", "right")]
    for run in runs:
        says(run, "result         finished")
        wait_for(lambda run=run: run.popen.poll() is not None, "its end")
    assert [run.popen.poll() for run in runs] == [0, 0]
    assert sum("works in this folder" in run.log.read_text() for run in runs) == 1


PROGRAM = """
name = "{name}"
trials = 3
[command]
run = ["python", "-c", "print('value=1.0')", "{word}"]
metrics = {{ value = 'value=([\\d.]+)' }}
[space]
x = {{ type = "float", low = 0.0, high = 1.0 }}
"""


@pytest.mark.long
def test_on_a_terminal_one_that_waits_says_why_and_what_would_have_it_share(alone: Fleet, tmp_path: Path) -> None:
    alone.write_spec(PROGRAM.format(name="first", word="a").replace("trials = 3", "trials = 5000"), "first.toml")
    first = alone.start_fresh("run", str(tmp_path / "first.toml"), "--slots", "1")
    says(first, "trial 1 COMPLETE")
    alone.write_spec(PROGRAM.format(name="same", word="a"), "same.toml")
    same = alone.call("run", str(tmp_path / "same.toml"), "--slots", "1")
    assert SHARES.format("same") in same.stderr
    assert same.returncode == 0, same.stderr

    alone.write_spec(PROGRAM.format(name="other", word="b"), "other.toml")
    screen = pyte.Screen(200, 50)
    stream, (ours, theirs) = pyte.ByteStream(screen), pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    command = [sys.executable, "-m", "orchestrator", "run", str(tmp_path / "other.toml"), "--slots", "1"]
    with subprocess.Popen(command, env=alone.environment(), cwd=tmp_path, stdout=theirs, stderr=theirs) as other:
        os.close(theirs)

        def seen() -> str:
            if select.select([ours], [], [], 0)[0]:
                stream.feed(os.read(ours, 65_536))
            return " ".join(" ".join(row.rstrip() for row in screen.display).split())

        wait_for(lambda: "both run at once" in seen(), "it says what it waits for")
        assert "does not run the program of this spec; 'other' begins when it has ended, in about" in seen()
        assert "They share if it was started with ORCHESTRATOR_COMMANDS=" in seen()
        other.send_signal(signal.SIGINT)
    os.close(ours)
