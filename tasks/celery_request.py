"""A task as the worker's main process sees it."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request

from tasks.app import STOP_SIGNAL


class TrialRequest(Request):  # type: ignore[misc]
    """A revoked task is never killed, whatever signal was asked for: its keeper is rung.

    Flower's button asks for SIGTERM, by which a keeper hands its trial back, and so it would be attempted again before
    the control plane had heard that a person wanted it stopped.
    """

    def terminate(self, pool: Any, signal: Any = None) -> None:  # noqa: ARG002
        super().terminate(pool, STOP_SIGNAL)
