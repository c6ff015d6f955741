"""An event sink that records what a keeper's artifact collector publishes."""

from __future__ import annotations

import json
import threading

from tasks.contract import Artifact, ArtifactRef, Attribute, Body
from tasks.trial_files import NOT_KEPT

PATIENCE = 20.0


class RecordingSink:
    """An event sink that records events and outcomes; ``wait`` waits for the outcome of a runner."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Body]] = []
        self._changed = threading.Condition()

    def publish(self, runner: str, body: Body) -> int:
        with self._changed:
            self.said.append((runner, body))
            self._changed.notify_all()
            return len(self.said)

    def end(self, runner: str) -> None:
        raise AssertionError(f"{runner} is ended by the store of checkpoints")

    def wait(self, runner: str) -> list[str]:
        def over() -> bool:
            return any(who == runner and not isinstance(body, Artifact | Attribute) for who, body in self.said)

        with self._changed:
            assert self._changed.wait_for(over, PATIENCE), self.said
        return [short(body) for who, body in self.said if who == runner]

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.said) == count, PATIENCE), self.said

    def refs(self) -> list[ArtifactRef]:
        return [body.ref for _, body in self.said if isinstance(body, Artifact)]


def short(body: Body) -> str:
    if isinstance(body, Attribute):
        assert body.key == NOT_KEPT
        return f"not kept: {', '.join(json.loads(body.value))}"
    return f"{body.ref.kind} {body.ref.filename}" if isinstance(body, Artifact) else type(body).__name__
