"""Short pauses, and no proxy, for every test here."""

from __future__ import annotations

import pytest

from orchestrator.notify import notifier as notifiers


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "LONGEST_PAUSE", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
