"""Handing a search to the control plane of a fleet."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from orchestrator.api import access
from orchestrator.api.spec_input import check_sampler_and_pruner

if TYPE_CHECKING:
    from orchestrator.api.fleet import Fleet
    from orchestrator.spec import Spec


def submit(spec: Spec, source: str, fleet: Fleet) -> None:
    """Submits a spec, and waits until the control plane has taken it.

    Raises:
        BadInput: something cannot be used, or the control plane refuses it; ``source`` names the spec.
        NoAnswer: no control plane answered in time.
    """
    redis_url, _ = access.fleet_urls(fleet.settings)
    from orchestrator.messaging.redis_check import check_redis
    from tasks.app import connect

    check_sampler_and_pruner(spec, source)
    with access.server_errors_in_words():
        with closing(connect(redis_url)) as client:
            check_redis(client, redis_url)
        with fleet.commands(prepare=True) as commands:
            commands.submit(spec, lambda: None, access.ANSWER_SECONDS)
