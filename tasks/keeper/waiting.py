"""The wait of a keeper for whatever comes first: its trainer, a wake-up, or a task that is to be given back."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from tasks.codec import Malformed, decode_from_trainer
from tasks.framed_socket import FramedSocket, SocketClosed
from tasks.keeper.next_task import NextTask
from tasks.keeper.slot import Wakeup
from tasks.trainer_messages import FromTrainer


def wait(
    wire: FramedSocket | None,
    wakeup: Wakeup,
    next_task: NextTask,
    timeout: float | None,
    on_stop_signal: Callable[[], None],
) -> list[FromTrainer | None]:
    """Waits for the first of them, or the timeout; returns the trainer's messages, ``None`` for its end.

    Args:
        wire: The socket to the trainer; ``None`` where the trainer must wait.
        wakeup: Ends the wait.
        next_task: Declined here once it is overdue.
        timeout: Seconds; ``None`` for no limit.
        on_stop_signal: Called where the stop signal has ended the wait.
    """
    frames: list[FromTrainer | None] = []
    if (left := next_task.seconds_left()) is not None:
        timeout = left if timeout is None else min(timeout, left)
    with selectors.DefaultSelector() as selector:
        for source in (wakeup, wire, next_task if next_task.declined else None):
            if source is not None:
                selector.register(source, selectors.EVENT_READ)
        ready = {key.fileobj for key, _ in selector.select(timeout)}
    if wakeup in ready and wakeup.clear():
        on_stop_signal()
    if wire is not None and wire in ready:
        try:
            frames.extend(decode_from_trainer(data) for data in wire.receive())
        except (SocketClosed, Malformed):
            frames.append(None)
    next_task.decline_overdue()
    return frames
