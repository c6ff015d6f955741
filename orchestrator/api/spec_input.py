"""Specs as a user gives them: the file or the arguments, and the checks before a search begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.common.errors import BadInput
from orchestrator.common.optuna_import import import_optuna

if TYPE_CHECKING:
    from orchestrator.bundling import CodeBundle
    from orchestrator.common.settings import Settings
    from orchestrator.spec import Spec


def load_spec(path: Path, settings: Settings, name: str | None = None, trials: int | None = None) -> Spec:
    """Returns the spec, with the given name and number of trials, and with the code that its [code] table includes.

    Its objective or program is found, but not run.

    Raises:
        BadInput: the spec is wrong, its objective or program is not there, or its code cannot be carried.
    """
    from orchestrator.spec import load

    spec = load(path)
    changed = {key: value for key, value in (("name", name), ("trials", trials)) if value is not None}
    if changed:
        from orchestrator.spec.compare import requested
        from orchestrator.spec.model import validate

        data = {key: value for key, value in requested(spec).items() if key != "format"}
        spec = validate(data | changed, "given")
    return checked_spec(spec, settings, str(path), path.resolve().parent)


def checked_spec(spec: Spec, settings: Settings, source: str, base: Path, bundle: CodeBundle | None = None) -> Spec:
    """Returns the spec with the code that its [code] table includes, below the folder ``base``.

    What it trains is found here, the objective or the program; nothing of it is run. ``bundle`` is the code of an
    objective that was given as a function.

    Raises:
        BadInput: it is not found, or its code cannot be carried; ``source`` names the spec.
    """
    from orchestrator.spec.objective_check import check_objective, check_program
    from tasks.objective_path import code_folders, split_path

    try:
        if bundle is not None:
            from orchestrator.spec.carried_code import with_function

            return with_function(spec, bundle, base, settings)
        folders = [*split_path(settings.objective_path)]
        if spec.code is not None and spec.code.include:
            from orchestrator.spec.carried_code import import_folders

            folders = [*import_folders(spec, base), *folders]
        if spec.command is not None:
            check_program(spec.command.run[0])
        else:
            check_objective(spec.objective, folders)
        if spec.code is None or not spec.code.include:
            return spec
        from orchestrator.spec.carried_code import with_included

        return with_included(spec, base, code_folders(settings.objective_path), settings)
    except BadInput as error:
        raise error.within(source) from None


def check_sampler_and_pruner(spec: Spec, source: str) -> None:
    """Builds the spec's sampler and pruner, which only Optuna and the user's own classes can judge.

    Raises:
        BadInput: one of them cannot be built; ``source`` names the spec.
    """
    import_optuna()
    from orchestrator.spec.pruner_factory import check_pruner
    from orchestrator.spec.sampler_factory import check_sampler

    check_sampler(spec, source)
    check_pruner(spec, source)
