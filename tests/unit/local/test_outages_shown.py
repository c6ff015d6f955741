"""Views that show log lines at the same time, as of threads that each run a search."""

from __future__ import annotations

from orchestrator.api.views import SilentView
from orchestrator.local.server_retry import log, outages_shown


def test_the_last_view_leaves_the_loggers_as_the_first_one_found_them() -> None:
    before = (log.level, log.propagate, list(log.handlers))
    first, second = outages_shown(SilentView()), outages_shown(SilentView())
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not log.propagate, "the second one still shows them"
    second.__exit__(None, None, None)
    assert (log.level, log.propagate, log.handlers) == before
