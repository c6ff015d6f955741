"""The files of models in the artifact store, as far as this host reaches it."""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import delete, select

from orchestrator.common.atomic_write import replacing
from orchestrator.common.data_folder import storage_url_of
from orchestrator.common.errors import BadInput, reason_of
from orchestrator.common.settings import Settings
from orchestrator.common.urls import redact
from orchestrator.model.attribute_keys import KEPT, RECORD
from orchestrator.queries.stored_models import StoredModel
from orchestrator.storage.database import Database
from orchestrator.storage.optuna_tables import STUDIES, SYSTEM_ATTRS, TRIALS

REMEDY = "set ORCHESTRATOR_ARTIFACT_URL, or ORCHESTRATOR_DATA_DIR, to where the workers store them"


class ModelFiles:
    """The artifact store of these settings.

    Args:
        settings: They name the store, and the database for ``remove``.

    Raises:
        BadInput: the store is of a kind that is not installed here.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        url = settings.artifact_url or str(settings.data_dir.absolute() / "artifacts")
        self.where = redact(url)
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise BadInput(self.where, f"cannot be opened: {reason_of(error)}", REMEDY) from None

    def location(self, model: StoredModel) -> str:
        """Returns where the file of a model is, without a password."""
        return f"{self.where.rstrip('/')}/{model.artifact_id}"

    def reachable(self, models: Iterable[StoredModel]) -> set[str]:
        """Returns the ids of those of these models whose files are in the store; empty where it is not reached."""
        wanted = {each.artifact_id for each in models}
        try:
            self._files.invalidate_cache()
            return wanted & {posixpath.basename(path.rstrip("/")) for path in self._files.ls(self._root, detail=False)}
        except Exception:  # a store may raise anything; what it does not show is not reached
            return set()

    def check_store(self, models: Iterable[StoredModel], all_of_study: Iterable[StoredModel]) -> None:
        """Raises BadInput where the store is a folder that holds no model of the study: theirs lie in another one."""
        first = next(iter(models))
        self._path(first)
        if isinstance(self._files, LocalFileSystem) and not self.reachable(all_of_study):
            raise self._not_there(first, FileNotFoundError())

    def get(self, model: StoredModel, target: Path) -> Path:
        """Copies a model to ``target``, into it where it is a folder; returns the path of the copy.

        Raises:
            BadInput: this host does not reach it, or ``target`` is there already or cannot be written.
        """
        path = target / (Path(model.filename).name or "model") if target.is_dir() else target
        if path.exists() or path.is_symlink():
            raise BadInput(str(path), "is there already, and stays as it is", "name another file with -o")
        try:
            source = self._files.open(self._path(model), "rb")
        except Exception as error:  # as above
            raise self._not_there(model, error) from None
        try:
            with source, replacing(path) as file:
                shutil.copyfileobj(source, file)
        except OSError as error:
            problem = f"cannot be written: {reason_of(error)}"
            raise BadInput(str(path), problem, "choose another file") from None
        return path

    def remove(self, model: StoredModel) -> None:
        """Deletes the file of a model, then its record. A file that is gone already is no error.

        Raises:
            BadInput: the store is not reached; the record stays.
        """
        try:
            self._files.rm(self._path(model))
        except FileNotFoundError as error:
            # Of a folder that is not there the files may lie on another host.
            if isinstance(self._files, LocalFileSystem) and not self._files.exists(self._root):
                raise self._not_there(model, error) from None
        except Exception as error:  # as above
            raise self._not_there(model, error) from None
        study = select(STUDIES.c.study_id).where(STUDIES.c.study_name == model.study).scalar_subquery()
        trial = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study, TRIALS.c.number == model.trial)
        keys = [RECORD + model.artifact_id, KEPT + model.artifact_id]
        attrs = SYSTEM_ATTRS.c
        of_it = attrs.trial_id == trial.scalar_subquery(), attrs.key.in_(keys)
        with closing(Database(storage_url_of(self._settings))) as database, database.write() as connection:
            connection.execute(delete(SYSTEM_ATTRS).where(*of_it))

    def _not_there(self, model: StoredModel, error: Exception) -> BadInput:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else reason_of(error)
        problem = f"this host does not reach {self.location(model)}: {reason}"
        return BadInput(f"model '{model.filename}' of trial {model.trial}", problem, REMEDY)

    def _path(self, model: StoredModel) -> str:
        id = model.artifact_id
        if posixpath.basename(id) != id or id in ("", ".", ".."):
            raise BadInput(
                f"model '{model.filename}'", "its record names no file of the store", "delete it with Optuna"
            )
        return posixpath.join(self._root, id)
