"""A stop that comes while modules are being imported waits for the end of the import."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from pathlib import Path

import pytest

from tasks.trainer.interrupt import Interrupter, TrialStopped

LONG = 30.0


@pytest.mark.parametrize("nested", [False, True])
def test_an_import_is_never_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nested: bool) -> None:
    before = signal.getsignal(signal.SIGUSR2)
    interrupter = Interrupter()
    interrupter.install()
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "interrupted_inner.py").write_text(
        "import signal, stop_of_a_test\n"
        "stop_of_a_test.stop('t')\n"
        "waited = sum(range(100_000))\n"
        "whole = signal.sigpending() == set()\n"
    )
    (tmp_path / "interrupted_outer.py").write_text("def go():\n    import interrupted_inner\ngo()\nwhole = True\n")
    monkeypatch.setitem(sys.modules, "stop_of_a_test", interrupter)  # type: ignore[arg-type]
    name = "interrupted_outer" if nested else "interrupted_inner"
    try:
        with pytest.raises(TrialStopped), interrupter.running("t"):
            importlib.import_module(name)
            threading.Event().wait(LONG)
        assert sys.modules[name].whole
        assert sys.modules["interrupted_inner"].whole
    finally:
        signal.signal(signal.SIGUSR2, before)
        for each in ("interrupted_inner", "interrupted_outer"):
            sys.modules.pop(each, None)
