"""The notifier of a control plane that tells no one of its studies."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.spec import Spec


class NullNotifier:
    """Drops every note."""

    def owe(self, notes: Iterable[PendingNotification]) -> None:
        del notes

    def take_settled(self) -> dict[str, DeliveryState]:
        return {}

    def check(self, spec: Spec) -> None:
        del spec

    def close(self) -> None:
        """There is nothing to end."""
