"""``python -m tests.faults.dying_serve STEP NTH SIGNAL``: a control plane that signals itself at its n-th such step."""

from __future__ import annotations

import logging
import os
import signal
import sys

from orchestrator.common.settings import load_settings
from orchestrator.control.ports import Phase
from orchestrator.control.serve import serve


def main(step: str, nth: str, name: str) -> None:
    left = int(nth)

    def passed(passing: Phase) -> None:
        nonlocal left
        left -= passing == Phase(step)
        if passing == Phase(step) and left == 0:
            os.kill(os.getpid(), signal.Signals[name])

    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
    settings = load_settings()
    assert settings.redis_url
    assert settings.storage_url
    serve(settings, settings.redis_url, settings.storage_url, on_phase=passed)


if __name__ == "__main__":
    main(*sys.argv[1:])
