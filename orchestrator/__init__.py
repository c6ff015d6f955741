"""Hyperparameter search with Optuna objectives, on this machine or on a fleet of GPU workers.

    from orchestrator import Search

    study = Search(objective, name="digits", trials=40).run()

``Search`` describes, runs and submits a search; ``connect`` finds the studies that there are. Importing this imports
neither Optuna nor Celery nor torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.api.fleet import Fleet as Fleet
    from orchestrator.api.fleet import connect as connect
    from orchestrator.api.search import Search as Search
    from orchestrator.api.study_handle import StudyHandle as StudyHandle
    from orchestrator.common.errors import BadInput as BadInput
    from orchestrator.common.errors import OrchestratorError as OrchestratorError
    from orchestrator.common.errors import ServerTrouble as ServerTrouble
    from orchestrator.common.errors import StudyFailed as StudyFailed

_PLACES = {
    "Search": "orchestrator.api.search",
    "connect": "orchestrator.api.fleet",
    "Fleet": "orchestrator.api.fleet",
    "StudyHandle": "orchestrator.api.study_handle",
    "ServerTrouble": "orchestrator.common.errors",
    "OrchestratorError": "orchestrator.common.errors",
    "BadInput": "orchestrator.common.errors",
    "StudyFailed": "orchestrator.common.errors",
}
__all__ = [
    "BadInput",
    "Fleet",
    "OrchestratorError",
    "Search",
    "ServerTrouble",
    "StudyFailed",
    "StudyHandle",
    "connect",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for: most programs that import this package need one of them."""
    if name not in _PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
