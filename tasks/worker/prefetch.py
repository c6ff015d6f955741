"""Celery's pool, in which a process whose task is about to end is sent the next one.

Celery's fair strategy sends a process one task at a time, so that each waits for a free process and not behind a task
that runs. What a slot waits for in between is the way of the result to the main process, and of the next task from the
queue. Here a process says when its task is about to end, and the next task travels meanwhile (``keeper/next_task.py``).
"""

from __future__ import annotations

import contextlib
import platform
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any

from celery.concurrency import asynpool, prefork
from celery.worker import state
from kombu.asynchronous import get_event_loop

from tasks.keeper.next_task import DECLINED, EXPECTED, RETURNED

VERSIONS = ("trial-orchestrator", "optuna", "celery")
"""Packages whose versions have to be those of the control plane."""

TEND_SECONDS = 0.5
"""Seconds between two rounds of Celery's timers while the pool ends."""


class ProcessLoads:
    """Counts the tasks that each process has been sent, in the place of Celery's set of busy processes.

    A process is in the set as long as it may be sent none: while it has a task, or two where the first is about to end.
    Processes are known by the descriptors of the pipes that bring their tasks.
    """

    def __init__(self) -> None:
        self._loads: Counter[int] = Counter()
        self._ending: set[int] = set()

    def __contains__(self, process: object) -> bool:
        return self._loads[process] > (process in self._ending)  # type: ignore[index]

    def __iter__(self) -> Iterator[int]:
        return (process for process in list(self._loads) if process in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, process: int) -> None:
        """A task was sent to a process."""
        self._loads[process] += 1

    def discard(self, process: int) -> None:
        """A task of a process has ended."""
        self._ending.discard(process)
        self._loads[process] = max(0, self._loads[process] - 1)

    def expect(self, process: int) -> None:
        """The task of a process is about to end."""
        if self._loads[process] == 1:
            self._ending.add(process)

    def decline(self, process: int) -> None:
        """The task of a process does not end yet."""
        self._ending.discard(process)

    def give_back(self, process: int) -> None:
        """The second task of a process has come back."""
        self._ending.discard(process)
        self._loads[process] = min(1, self._loads[process])

    def forget(self, process: int) -> None:
        """A process has ended; another one may have its descriptor."""
        self._ending.discard(process)
        del self._loads[process]

    @property
    def loaded(self) -> set[int]:
        """Processes that have a task."""
        return {process for process, tasks in self._loads.items() if tasks}

    def intersection_update(self, running: Iterable[int]) -> None:
        """Celery has lost its connection to the broker, and forgets the tasks that no process has begun; those that
        were sent are begun all the same."""


class _ResultHandler(asynpool.ResultHandler):  # type: ignore[misc]
    def __init__(self, *arguments: Any, handlers: dict[int, Callable[..., None]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.state_handlers.update(handlers)


class KeeperPool(asynpool.AsynPool):  # type: ignore[misc]
    """A pool with one process for each slot."""

    ResultHandler = _ResultHandler

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.loads = ProcessLoads()
        self._quick_put: Any = None
        super().__init__(*arguments, **options)
        self._busy_workers = self.loads

    def create_result_handler(self, **options: Any) -> Any:
        handlers = {EXPECTED: self.loads.expect, DECLINED: self.loads.decline, RETURNED: self._on_returned}
        return super(asynpool.AsynPool, self).create_result_handler(
            fileno_to_outq=self._fileno_to_outq, on_process_alive=self.on_process_alive, handlers=handlers, **options
        )

    def on_job_ready(self, job: int, i: Any, obj: Any, inqW_fd: int) -> None:  # noqa: ARG002
        self.loads.discard(inqW_fd)

    def _create_write_handlers(self, hub: Any, **options: Any) -> None:
        super()._create_write_handlers(hub, **options)
        enqueue: Callable[[Any], None] = self._quick_put

        def send_at_once(request: Any) -> None:
            """Celery writes in the next turn of its loop, behind the events for its monitors."""
            enqueue(request)
            hub.consolidate_callback([process for process in self._all_inqueues if process not in self.loads])

        self._quick_put = send_at_once

    def _process_cleanup_queues(self, proc: Any) -> None:
        self.loads.forget(proc.inqW_fd)
        super()._process_cleanup_queues(proc)

    @property
    def vacancies(self) -> int:
        """Number of tasks that may be taken from the queue and go to a process at once."""
        free = sum(process not in self.loads for process in self._all_inqueues)
        return free - len(self.outbound_buffer)

    @property
    def has_free_process(self) -> bool:
        """Whether some process has no task."""
        return not self._all_inqueues.issubset(self.loads.loaded)

    def _on_returned(self, process: int, job: int) -> None:
        """Puts the task that a process gives back to the head of its queue."""
        self.loads.give_back(process)
        result = self._cache.get(job)
        if result is None:
            return
        result.discard()
        request = state.requests.get(result.correlation_id)
        if request is not None:
            state.task_ready(request)
            request.reject(requeue=True)


class KeeperTaskPool(prefork.TaskPool):  # type: ignore[misc]
    """Celery's side of the pool."""

    Pool = KeeperPool
    _pool: KeeperPool | None

    def _get_info(self) -> dict[str, Any]:
        """Adds to what ``celery inspect stats`` says whether the worker is draining, which versions it runs, and which
        code bundles it admits."""
        versions = {name: version(name) for name in VERSIONS} | {"python": platform.python_version()}
        conf = self.app.conf
        ours = {"draining": conf.consume_gate.is_retired, "versions": versions, "bundles": conf.admitted_bundles}
        return {**super()._get_info(), **ours}

    def on_stop(self) -> None:
        """Waits until the processes have ended. Celery's looks twice a second whether they have."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.close()
        hub: Any = get_event_loop()
        over = threading.Event()

        def tend() -> None:
            while True:
                with contextlib.suppress(Exception):
                    # Heartbeats for monitors, and what acknowledges tasks.
                    hub.fire_timers()
                    prefork._run_ready_callbacks(hub)
                if over.wait(TEND_SECONDS):
                    return

        tending = threading.Thread(target=tend, name="tending", daemon=True)
        tending.start()
        try:
            pool.join()
        finally:
            over.set()
            tending.join(TEND_SECONDS)
