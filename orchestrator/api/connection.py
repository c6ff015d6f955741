"""The connection to the studies of a fleet, or of what `run` keeps on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary, finalize

from orchestrator.api import access
from orchestrator.common.errors import BadInput, OrchestratorError
from orchestrator.common.optuna_import import import_optuna
from orchestrator.common.settings import PREFIX, Settings, load_settings
from orchestrator.common.urls import redact

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.queries.study_reader import StudyReader


class UnknownStudy(BadInput, KeyError):
    """There is no study of that name; the message has the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class Connection:
    """Opens what a handle needs: database, control plane, and studies as Optuna's objects; ``Fleet`` is one.

    Args:
        settings: Where Redis, database and data folder are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened: WeakKeyDictionary[optuna.Study, finalize[..., optuna.Study]] = WeakKeyDictionary()
        self._closed = False

    def _missing(self, name: str) -> BadInput | None:
        """Returns the error about a study that is not there; ``None`` for one that is."""
        from orchestrator.queries.readonly import NothingThere

        try:
            with self.reader() as reader:
                return reader.missing(name)
        except NothingThere as error:
            return error

    def _check_there(self, name: str) -> None:
        if problem := self._missing(name):
            raise UnknownStudy(problem.where, problem.problem, problem.remedy)

    def close(self) -> None:
        """Closes the connections of all studies that were opened as Optuna's objects, and takes no more calls."""
        self._closed = True
        for close_storage in list(self._opened.values()):
            close_storage()

    def reader(self) -> AbstractContextManager[StudyReader]:
        """Opens the database for reading; see ``access.open_reader``."""
        self.check_open()
        return access.open_reader(self.settings)

    def commands(self, *, prepare: bool = False) -> AbstractContextManager[CommandClient]:
        """Opens the way to the control plane; see ``access.command_client``."""
        self.check_open()
        return access.command_client(self.settings, prepare=prepare)

    def open_study(self, name: str) -> optuna.Study:
        """Returns a study as Optuna's own object; its connection is closed with it, or with the fleet.

        Raises:
            UnknownStudy: there is none of that name.
        """
        self._check_there(name)
        study, closing = load_study(name, self.settings)
        self._opened[study] = closing
        return study

    def check_open(self) -> None:
        """Raises ``OrchestratorError`` after ``close``."""
        if self._closed:
            raise OrchestratorError("the connection to the studies is closed; connect again")

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connection) and self.settings == other.settings

    def __hash__(self) -> int:
        return hash((self.settings.storage_url, self.settings.redis_url, self.settings.data_dir))

    def __reduce__(self) -> tuple[Any, ...]:
        # What is open stays with this process. The settings may hold passwords, as what is pickled then does.
        return type(self), (self.settings,)

    def __repr__(self) -> str:
        from orchestrator.common.data_folder import storage_url_of

        places = [redact(url) for url in (self.settings.redis_url, storage_url_of(self.settings)) if url]
        return f"<{type(self).__name__} {' '.join(places)}{' closed' if self._closed else ''}>"


def _close_storage(storage: RDBStorage, process: int) -> None:
    if os.getpid() != process:
        # A fork of the process that opened it: what is closed there would end the connections of this one.
        storage.engine.dispose(close=False)
        return
    storage.remove_session()
    storage.engine.dispose()


def load_study(name: str, settings: Settings) -> tuple[optuna.Study, finalize[..., optuna.Study]]:
    """Returns a study as Optuna's own object, and what closes its storage.

    That happens when it is called, when the study is dropped, or when the program ends.

    Raises:
        ServerTrouble: the database refuses this client, or does not answer now.
    """
    import_optuna()
    import optuna
    from optuna.storages import RDBStorage

    from orchestrator.common.data_folder import storage_url_of

    with access.server_errors_in_words():
        storage = RDBStorage(storage_url_of(settings))
        study = optuna.load_study(study_name=name, storage=storage)
    return study, finalize(study, _close_storage, storage, os.getpid())


def settings_with(source: str, given: Mapping[str, str | Path | None]) -> Settings:
    """Returns the settings of the environment, with those that are given in their place.

    Where either URL is given, neither is taken from the environment: the two belong together.

    Args:
        source: Names the function, for messages.
        given: By the names of ``Settings``; ``None`` where it is not given.

    Raises:
        BadInput: one of them is wrong.
    """
    environ = dict(os.environ)
    if given.get("redis_url") is not None or given.get("storage_url") is not None:
        for name in ("REDIS_URL", "STORAGE_URL"):
            environ.pop(PREFIX + name, None)
    for name, value in given.items():
        if value is None:
            continue
        if not str(value).strip():
            raise BadInput(f"{source}: {name}", "is empty", "give a URL, or leave it out")
        environ[PREFIX + name.upper()] = str(value)
    try:
        settings = load_settings(environ)
        # A program may change its working directory, as a notebook does, while it holds a handle or a search runs.
        return settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
    except BadInput as error:
        name = error.where.removeprefix(PREFIX).lower()
        if given.get(name) is None:
            raise
        raise BadInput(f"{source}: {name}", error.problem, error.remedy) from None
