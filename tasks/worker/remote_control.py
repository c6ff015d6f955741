"""Remote control of a worker by Flower or ``celery control``, in the place of Celery's own commands.

To revoke a task stops its trial, and a shutdown does what SIGTERM does. Commands that would break the slots or lose a
trial are refused with the reason.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from celery.worker import state as worker_state
from celery.worker.control import Panel

from tasks.app import DRAIN, STOP_SIGNAL

log = logging.getLogger(__name__)

_SLOTS = "a worker's slots are fixed, for each has its share of a GPU: start it anew with other --slots"
_REFUSED = {
    "pool_grow": _SLOTS,
    "pool_shrink": _SLOTS,
    "rate_limit": "a task that is held back here would be taken for lost: say `parallel` in the spec",
    "time_limit": "it would kill the process that looks after the trial: say `stall_timeout` in the spec",
}


def take_over(report: Callable[[str], None]) -> None:
    """Replaces Celery's remote control commands, those of this process.

    Args:
        report: Called with a task that a person revoked and that is not here: it may still wait in its queue.
    """

    def revoke(
        state: Any,
        task_id: str | Iterable[str],
        terminate: bool = False,
        signal: str | int | None = None,
        **_: Any,
    ) -> dict[str, str]:
        tokens = {task_id} if isinstance(task_id, str) else set(task_id)
        worker_state.revoked.update(tokens)
        for token in tokens:
            request = worker_state.requests.get(token)
            if request is not None:
                if terminate:
                    request.terminate(state.consumer.pool)
            elif signal != STOP_SIGNAL:
                # The control plane's own revokes carry that signal; it knows of them.
                report(token)
        return {"ok": f"revoked: {', '.join(sorted(tokens))}"}

    Panel.register(
        name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]", help="Stop trials by their tasks' ids."
    )(revoke)
    Panel.register(name="shutdown", help="Hand the trials back and end, as at SIGTERM.")(_shut_down)
    Panel.register(name=DRAIN, help="Take no more trials, finish those that run, and end.")(_drain)
    for name, why in _REFUSED.items():
        Panel.register(name=name, help="Refused.")(_refusing(why))


def _shut_down(state: Any, **_: Any) -> dict[str, str]:  # noqa: ARG001
    log.warning("shut down by remote control", extra={"action": "remote_shutdown"})
    os.kill(os.getpid(), signal.SIGTERM)
    return {"ok": "handing back what is trained"}


def _drain(state: Any, **_: Any) -> dict[str, str]:
    state.consumer.app.conf.consume_gate.retire("drained by a person", 0)
    return {"ok": "takes no more trials, and ends when those that run have"}


def _refusing(why: str) -> Callable[..., dict[str, str]]:
    def refuse(state: Any, **_: Any) -> dict[str, str]:  # noqa: ARG001
        return {"error": why}

    return refuse
