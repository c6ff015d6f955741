"""Checks whether `run` could begin a search, without making or changing anything."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from orchestrator.common.data_folder import storage_url_of
from orchestrator.common.errors import BadInput, reason_of
from orchestrator.common.file_lock import is_locked
from orchestrator.common.settings import PREFIX, Settings, bad_settings_are_bad_input, without_secrets
from orchestrator.export.code_files import write_bundle
from orchestrator.local.child_process import last_words
from orchestrator.local.data_folder_check import check_contents
from orchestrator.notify.policy import policy_of
from orchestrator.queries.readonly import NothingThere, open_study_reader
from orchestrator.spec import Spec, differences
from tasks.code_bundle import unpack
from tasks.data_folder import missing_package
from tasks.objective_path import OBJECTIVE_PATH, check_folders, split_path
from tasks.program.allowlist import COMMANDS, CommandAllowlist

IMPORT_SECONDS = 600.0


def check_run(spec: Spec, source: str, settings: Settings, environ: Mapping[str, str], *, imports: bool = True) -> None:
    """Checks all that `run` needs and that can be known before it begins: settings, data folder, servers, the study of
    that name, notifications and, in a process of its own, the import of the objective.

    Sampler and pruner are checked by ``check_sampler`` and ``check_pruner``.

    Args:
        spec: The search.
        source: What the spec is called in messages, such as its file.
        settings: Those of `run`.
        environ: The environment of `run`.
        imports: Whether the objective is imported.

    Raises:
        BadInput: `run` would fail by it; the message is that of `run`, where it has one.
    """
    with bad_settings_are_bad_input():
        check_folders(split_path(settings.objective_path))
        CommandAllowlist.of({COMMANDS: environ.get(COMMANDS, "")})
    if not is_locked(settings.data_dir):
        # Beside another run in the folder, which has them, none are shown.
        _check_metrics(settings)
    policy_of(settings, spec.name).check(spec)
    _check_folder(settings.data_dir, f"{PREFIX}DATA_DIR")
    _check_stores(settings)
    check_contents(settings.data_dir.absolute(), settings)
    _check_servers(settings)
    _check_study(spec, settings)
    if imports and spec.command is None:
        _check_import(spec, source, settings, environ)


def _check_metrics(settings: Settings) -> None:
    """Checks that the ports of the metrics can be had: the control plane's, and the next, the worker's. Where a fleet's
    control plane is active it has them, and its searches are submitted."""
    if (endpoint := settings.metrics()) is None:
        return
    # Imported where it is needed.
    from prometheus_client import CollectorRegistry

    from tasks.metrics_server import MetricsServer

    try:
        with bad_settings_are_bad_input():
            for port in (endpoint.port, endpoint.port + 1):
                MetricsServer(replace(endpoint, port=port), CollectorRegistry()).close()
    except BadInput:
        if settings.redis_url is None or not _is_led(settings):
            raise


def _is_led(settings: Settings) -> bool:
    with suppress(NothingThere), open_study_reader(storage_url_of(settings)) as reader:
        return reader.is_led()
    return False


def _check_stores(settings: Settings) -> None:
    """Checks that the stores of checkpoints and of artifacts can be used, as far as that can be told without them."""
    stores = {"CHECKPOINT_URL": settings.checkpoint_url, "ARTIFACT_URL": settings.artifact_url}
    for name, url in stores.items():
        if url is None:
            continue
        if why := missing_package(url):
            raise BadInput(PREFIX + name, why)
        if "://" not in url:
            _check_folder(Path(url), PREFIX + name)


def _check_folder(path: Path, setting: str) -> None:
    """Checks that a folder, or where it would be made, takes files."""
    there = path.absolute()
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    remedy = f"choose another folder with {setting}"
    if not there.is_dir():
        raise BadInput(str(path), "is not a folder, or lies below a file", remedy)
    try:
        # Only trying tells, as in `ensure_data_dir`; the file has no name where the file system can do without.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        problem = "cannot be created" if there != path.absolute() else "takes no files"
        raise BadInput(str(path), f"{problem}: {reason_of(error)}", remedy) from None


def _check_servers(settings: Settings) -> None:
    from orchestrator.messaging.redis_check import check_redis
    from tasks.app import connect

    if settings.redis_url is not None:
        with closing(connect(settings.redis_url)) as client:
            check_redis(client, settings.redis_url)


def _check_study(spec: Spec, settings: Settings) -> None:
    """Checks that the database is of this version, and that a study of that name is the same search."""
    try:
        with open_study_reader(storage_url_of(settings)) as reader:
            if reader.missing(spec.name) is not None:
                return
            known = reader.spec(spec.name) if reader.is_ours(spec.name) else None
            had = reader.trials(spec.name).directions
    except NothingThere:
        return
    where, remedy = f"study '{spec.name}'", "take another name"
    if known is None and had != tuple(spec.objectives):
        problem = f"is there already, made by Optuna, with direction {', '.join(had)}"
        raise BadInput(where, f"{problem}; the spec says {', '.join(spec.objectives)}", remedy)
    if known is not None and (changed := differences(known, spec)):
        raise BadInput(where, "was started as another search: " + "; ".join(changed), f"{remedy}, or put it back")


def _check_import(spec: Spec, source: str, settings: Settings, environ: Mapping[str, str]) -> None:
    where = f"{source}: objective '{spec.trained}'"
    try:
        with _code(spec) as (folder, paths):
            done = subprocess.run(
                [sys.executable, "-P", "-m", "tasks.trainer.import_check", spec.reference],
                env=without_secrets(environ) | {OBJECTIVE_PATH: os.pathsep.join(paths) or settings.objective_path},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=IMPORT_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise BadInput(where, f"importing it took more than {IMPORT_SECONDS:g} s") from None
    if problem := done.stdout.decode(errors="replace").strip():
        raise BadInput(where, problem.removeprefix(f"{spec.objective}: "))
    if done.returncode:
        said = last_words(done.stderr.decode(errors="replace")) or f"exit code {done.returncode}"
        raise BadInput(where, f"the process that imported it died: {said}")


@contextmanager
def _code(spec: Spec) -> Iterator[tuple[Path | None, list[str]]]:
    """Yields the folder to which the code that goes with a search is unpacked, as on a worker, and the folders in it
    where its modules are; nothing where the search brings none."""
    archive, _ = spec.code.carried() if spec.code is not None else (b"", b"")
    if spec.code is None or not archive:
        yield None, []
        return
    bundle = unpack(archive, spec.code.bundle)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bundle(bundle, folder)
        yield folder, [str(folder / path) for path in bundle.paths]
