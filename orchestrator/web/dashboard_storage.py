"""The stores of the dashboard: Optuna's storage on the study database, read-only unless writing is asked for, and the
artifact store."""

from __future__ import annotations

import posixpath
import shutil
import threading
import time
from collections.abc import Container
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import fsspec
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage, RDBStorage, _CachedStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event, make_url

from orchestrator.storage.database import OPTIONS

if TYPE_CHECKING:
    from optuna.study._frozen import FrozenStudy

READING = 0.05
"""Largest share of the time that goes into reading ended trials again."""


def open_storage(url: str, *, write: bool) -> BaseStorage:
    """Opens a database whose tables are there.

    Without ``write`` the database itself refuses every statement that changes something.
    """
    dialect = make_url(url).get_backend_name()
    options: dict[str, Any] = dict(OPTIONS.get(dialect, {}))
    if not write and dialect == "postgresql":
        options["execution_options"] = {"postgresql_readonly": True}
    storage = RDBStorage(url, engine_kwargs=options, skip_table_creation=True)
    if not write and dialect == "sqlite":
        event.listen(storage.engine, "connect", _forbid_writing)
        # The listener does not see connections that are open already.
        storage.remove_session()
        storage.engine.dispose()
    return RereadingStorage(storage)


class RereadingStorage(_CachedStorage):
    """Optuna's cache, for programs that read a study again and again.

    The cache reads an ended trial once; without it, each page would take seconds in a study of 10 000 trials. But files
    of a trial come and go after its end, too. So a study is read anew once enough time has passed, see ``READING``.

    Args:
        backend: The storage.
    """

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._reading = threading.Lock()
        self._due: dict[int, float] = {}

    def get_all_studies(self) -> list[FrozenStudy]:
        # optuna-dashboard sorts what comes from a database, and takes a cache's order as it is.
        return sorted(super().get_all_studies(), key=lambda study: study._study_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        with self._reading:
            begun = time.monotonic()
            anew = begun >= self._due.get(study_id, begun)
            if anew:
                with self._lock:
                    self._studies.pop(study_id, None)
            found = super().get_all_trials(study_id, deepcopy, states)
            if anew:
                ended = time.monotonic()
                self._due[study_id] = ended + (ended - begun) / READING
            return found


def _forbid_writing(connection: Any, record: Any) -> None:
    del record
    connection.execute("PRAGMA query_only = ON")


class ArtifactStore:
    """Reads and writes the files of trials; Optuna's protocol of that name.

    Args:
        url: What ``ORCHESTRATOR_ARTIFACT_URL`` names: a folder, or a URL that fsspec knows.
    """

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        try:
            return cast(BinaryIO, self._files.open(self._path(artifact_id), "rb"))
        except FileNotFoundError:
            raise ArtifactNotFound(f"no artifact {artifact_id}") from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self._files.makedirs(self._root, exist_ok=True)
        with self._files.open(self._path(artifact_id), "wb") as file:
            shutil.copyfileobj(content_body, file)

    def remove(self, artifact_id: str) -> None:
        try:
            self._files.rm(self._path(artifact_id))
        except FileNotFoundError:
            raise ArtifactNotFound(f"no artifact {artifact_id}") from None

    def _path(self, artifact_id: str) -> str:
        if posixpath.basename(artifact_id) != artifact_id or artifact_id in ("", ".", ".."):
            raise ArtifactNotFound(f"'{artifact_id}' is not the id of an artifact")
        return posixpath.join(self._root, artifact_id)
