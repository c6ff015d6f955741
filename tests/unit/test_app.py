"""The Celery application."""

from __future__ import annotations

import pytest

from tasks.app import create_app


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"])
def test_it_is_on_the_broker_that_it_was_told_of(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "redis://elsewhere:1/7")
    app = create_app("redis://here:2/3")
    with app.connection_for_write() as writing, app.connection_for_read() as reading:
        assert {writing.hostname, reading.hostname} == {"here"}
    app.close()
