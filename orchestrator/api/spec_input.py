"""Specs as a user gives them: the file or the arguments, and the checks before a search begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.common.errors import BadInput

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings
    from orchestrator.spec import Spec


def load_spec(path: Path, settings: Settings, name: str | None = None, trials: int | None = None) -> Spec:
    """Returns the spec, with the given name and number of trials; its objective or program is found, but not run.

    Raises:
        BadInput: the spec is wrong, or its objective or program is not there.
    """
    from orchestrator.spec import load

    spec = load(path)
    changed = {key: value for key, value in (("name", name), ("trials", trials)) if value is not None}
    if changed:
        from orchestrator.spec.model import validate

        data = {key: value for key, value in spec.to_json().items() if key != "format"}
        spec = validate(data | changed, "--name" if name is not None else "--trials")
    check_trained(spec, settings, str(path))
    return spec


def check_trained(spec: Spec, settings: Settings, source: str) -> None:
    """Checks that what the spec trains is found here, the objective or the program; runs nothing of it.

    Raises:
        BadInput: it is not; ``source`` names the spec.
    """
    from orchestrator.spec.objective_check import check_objective, check_program
    from tasks.objective_path import split_path

    try:
        if spec.command is None:
            check_objective(spec.objective, split_path(settings.objective_path))
        else:
            check_program(spec.command.run[0])
    except BadInput as error:
        raise error.within(source) from None


def check_sampler_and_pruner(spec: Spec, source: str) -> None:
    """Builds the spec's sampler and pruner, which only Optuna and the user's own classes can judge.

    Raises:
        BadInput: one of them cannot be built; ``source`` names the spec.
    """
    from orchestrator.spec.pruner_factory import check_pruner
    from orchestrator.spec.sampler_factory import check_sampler

    check_sampler(spec, source)
    check_pruner(spec, source)
