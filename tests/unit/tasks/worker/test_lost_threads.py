"""A keeper with a failed thread ends: its worker says that its trial is lost, and another one takes its place."""

from __future__ import annotations

import os
import threading

import pytest

from tasks.worker import pool


@pytest.mark.parametrize(("name", "ends"), [("publisher", True), ("replies", True), ("of a library", False)])
def test_a_keeper_ends_with_what_it_cannot_do_without(monkeypatch: pytest.MonkeyPatch, name: str, ends: bool) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(threading, "excepthook", pool._end_with_thread)

    def fail() -> None:
        raise RuntimeError("planted")

    thread = threading.Thread(target=fail, name=name)
    thread.start()
    thread.join()
    assert codes == ([os.EX_SOFTWARE] if ends else [])
