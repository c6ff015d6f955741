"""``python -m tests.faults.odd_serve KIND``: a control plane that hangs in its loop, or reads studies slowly."""

from __future__ import annotations

import logging
import sys
import threading

from orchestrator.common.settings import load_settings
from orchestrator.control.ports import Phase
from orchestrator.control.serve import serve
from orchestrator.engine.state import Snapshot
from orchestrator.storage.store import Store

SLOW_SECONDS = 1.0
"""For which a slow one reads each study."""


def main(kind: str) -> None:
    never = threading.Event()

    def hang(step: Phase) -> None:
        if kind == "hangs" and step is Phase.ACKNOWLEDGED:
            logging.getLogger("odd").warning("hanging")
            never.wait()

    if kind == "slow":
        load = Store.load

        def slowly(store: Store, name: str) -> Snapshot:
            never.wait(SLOW_SECONDS)
            return load(store, name)

        Store.load = slowly  # type: ignore[method-assign]
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
    settings = load_settings()
    assert settings.redis_url
    assert settings.storage_url
    serve(settings, settings.redis_url, settings.storage_url, on_phase=hang)


if __name__ == "__main__":
    main(sys.argv[1])
