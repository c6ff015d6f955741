"""An exception that ends a program does so even if a finalizer has swallowed it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import free_port

PATIENCE = 60.0

SWALLOWING = """
import os, signal, sys, time

class Swallowing:
    def __init__(self, number):
        self.number = number
    def __del__(self):
        os.kill(os.getpid(), self.number)
        while True:  # until the handler has run, here
            pass
"""

BY_ITSELF = """
from orchestrator.common.signals import insist_on_ending

signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
insist_on_ending()
Swallowing(signal.{signal})
while True:
    time.sleep(1)
"""

BEAT = """
from celery.signals import beat_init
from orchestrator.schedule.beat import beat
from pathlib import Path

folder = Path(sys.argv[1])
beat_init.connect(lambda **_: Swallowing(signal.{signal}) and None, weak=False)
beat("redis://127.0.0.1:1/0", f"sqlite:///{{folder}}/studies.db", folder)
sys.exit(7)
"""

DASHBOARD = """
import waitress
from orchestrator.cli import main
from orchestrator.storage.database import Database

serve = waitress.serve

def told_to_end(*arguments, **named):
    Swallowing(signal.SIGTERM)
    serve(*arguments, **named)

waitress.serve = told_to_end
url = f"sqlite:///{sys.argv[1]}/studies.db"
Database(url).prepare()
os.environ["ORCHESTRATOR_STORAGE_URL"] = url
os.environ["ORCHESTRATOR_DATA_DIR"] = sys.argv[1]
sys.argv = ["orchestrator", "dashboard", "--no-auth", "--port", sys.argv[2]]
main()
"""


def ended(program: str, *arguments: str) -> tuple[int, str]:
    code = SWALLOWING + program
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stderr


def test_what_a_finalizer_swallowed_is_raised_again() -> None:
    assert ended(BY_ITSELF.format(signal="SIGTERM")) == (7, "")
    code, said = ended(BY_ITSELF.format(signal="SIGINT"))
    assert code == -2
    assert said.splitlines()[-1] == "KeyboardInterrupt"


def test_everything_else_that_was_dropped_is_said() -> None:
    odd = """
class Odd:
    def __del__(self):
        raise ValueError("odd")

"""
    program = BY_ITSELF.format(signal="SIGTERM").replace("Swallowing(signal", "Odd()\nSwallowing(signal")
    code, said = ended(odd + program)
    assert code == 7
    assert said.splitlines()[-1] == "ValueError: odd"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_beat_ends(number: str, tmp_path: Path) -> None:
    code, said = ended(BEAT.format(signal=number), str(tmp_path))
    assert code == 7, said


def test_a_dashboard_ends(tmp_path: Path) -> None:
    code, said = ended(DASHBOARD, str(tmp_path), str(free_port()))
    assert code == 0, said
    assert "Dashboard of" in said
