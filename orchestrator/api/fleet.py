"""The studies that there are, by name: of a fleet, or of what `run` keeps on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary, finalize

from orchestrator.api import access, arguments
from orchestrator.api.arguments import every, or_none, takes, whole
from orchestrator.api.shown import Answer, as_html, as_text
from orchestrator.api.status import StudyStatus
from orchestrator.api.study_handle import StudyHandle
from orchestrator.common.errors import BadInput, OrchestratorError
from orchestrator.common.optuna_import import import_optuna
from orchestrator.common.settings import PREFIX, Settings, load_settings
from orchestrator.common.urls import redact

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.model.fleet import FleetWorker
    from orchestrator.queries.study_reader import StudyReader


_TABLE_WIDTH = 160
"""Characters of a line of the table of studies in a notebook, which scrolls."""


class UnknownStudy(BadInput, KeyError):
    """There is no study of that name; the message has the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class Fleet(Mapping[str, StudyHandle]):
    """The studies of a database, as a mapping of their names to their handles.

    ``connect`` makes it. Use it in a ``with`` statement, or call ``close``: it closes what was opened through it.

    Args:
        settings: Where Redis, database and data folder are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened: WeakKeyDictionary[optuna.Study, finalize[..., optuna.Study]] = WeakKeyDictionary()
        self._closed = False

    def __getitem__(self, name: str) -> StudyHandle:
        try:
            name = arguments.name_of_study(name)
        except BadInput as error:
            raise UnknownStudy(error.where, error.problem, error.remedy) from None
        if problem := self._missing(name):
            raise UnknownStudy(problem.where, problem.problem, problem.remedy)
        return StudyHandle(self, name)

    @takes(name=arguments.text)
    def handle(self, name: str) -> StudyHandle:
        """Returns the handle of a study without a look whether it is there; the handle's methods say so."""
        return StudyHandle(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter([each.name for each in self.statuses()])

    def __len__(self) -> int:
        return len(self.statuses())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._missing(name) is None

    def _missing(self, name: str) -> BadInput | None:
        """Returns the error about a study that is not there; ``None`` for one that is."""
        from orchestrator.queries.readonly import NothingThere

        try:
            with self.reader() as reader:
                return reader.missing(name)
        except NothingThere as error:
            return error

    def statuses(self) -> list[StudyStatus]:
        """Returns where each study stands, as `orchestrator ls` shows it; none where there is no database yet."""
        import time

        from orchestrator.queries.readonly import NothingThere

        try:
            with self.reader() as reader:
                found = reader.overviews()
        except NothingThere:
            return []
        now = time.time()
        return [StudyStatus.of(each, now) for each in found]

    @takes(names=every(arguments.text))
    def compare(self, *names: str) -> Answer:
        """Compares studies: how their trials ended, the best values and after how many epochs, cost, specs.

        Args:
            *names: Names of two studies or more.

        Raises:
            BadInput: there is no such study, or they are too few.
        """
        import time

        from orchestrator.queries.comparison import compare
        from orchestrator.terminal.comparison_table import render, to_json

        with self.reader() as reader:
            found = compare(reader, names, time.time())
        return Answer(lambda width: [render(found, width)], to_json(found))

    @takes(studies=arguments.words, pruners=every(arguments.text))
    def replay(self, studies: str | Sequence[str], *pruners: str) -> Answer:
        """Says what other pruning rules would have saved of what was recorded; trains nothing.

        Args:
            studies: Name of a study, or a list of names.
            *pruners: Rules such as ``"median n_startup_trials=2"``, or paths of specs.

        Raises:
            BadInput: one is no rule, a study is not there, or has several objectives.
        """
        from orchestrator.api import rule_trials

        return rule_trials.replay(self.reader, arguments.words(studies), pruners, "replay")

    @takes(studies=every(arguments.text))
    def tune_rule(self, *studies: str) -> Answer:
        """Recommends a pruning rule from what was recorded of studies; takes some seconds, and trains nothing.

        Raises:
            BadInput: a study is not there or has several objectives, or too little was recorded.
        """
        from orchestrator.api import rule_trials

        return rule_trials.tune_rule(self.reader, studies)

    def workers(self) -> list[FleetWorker]:
        """Returns the workers, by name: host, queues, and what each slot trains. Takes some seconds.

        Raises:
            BadInput: there is no Redis to ask, or it is not reached.
        """
        from orchestrator.doctor.fleet import read_fleet

        self.check_open()
        return read_fleet(self.settings)

    @takes(worker=arguments.text)
    def drain(self, worker: str) -> str:
        """Has a worker take no more trials and end once those that run have; returns its full name.

        Args:
            worker: Its name.

        Raises:
            BadInput: there is no such worker.
        """
        from orchestrator.doctor.fleet import drain

        self.check_open()
        return drain(self.settings, worker)

    @takes(repair=arguments.flag)
    def doctor(self, *, repair: bool = False) -> Answer:
        """Looks for trouble for a few seconds, and says what helps.

        Args:
            repair: Repairs what is safe to repair, and says what was done; otherwise nothing is changed.
        """
        from orchestrator.api.diagnosis import diagnose

        self.check_open()
        return diagnose(self.settings, repair=repair)

    @takes(folder=arguments.path, last=whole(0))
    def schedules(self, folder: str | Path = "studies", *, last: int = 5) -> Answer:
        """Says when the specs of a folder that have a [schedule] run next, and what came of their last runs.

        Args:
            folder: Holds the specs.
            last: Number of the last runs of each.

        Raises:
            BadInput: the folder cannot be read, or there is no database.
        """
        from orchestrator.api.schedules import read_schedules

        return read_schedules(self, Path(folder), last)

    @takes(name=arguments.text, folder=arguments.path)
    def run_schedule(self, name: str, folder: str | Path = "studies") -> StudyHandle:
        """Runs a schedule now, beside its timetable and subject to its ``overlap``; returns the study of the run.

        Args:
            name: Of the schedule.
            folder: Holds its spec.

        Raises:
            BadInput: there is no such schedule, it is refused, or no fleet is set.
            OrchestratorError: it was skipped; the message says why.
            NoAnswer: no control plane answered within 10 s; it is kept, and applied when there is one.
        """
        from orchestrator.api.schedules import run_now

        return self.handle(run_now(self, name, Path(folder)))

    def prepare(self) -> str:
        """Makes the tables that the database lacks, and upgrades older ones; returns its URL without the password.

        Control planes and ``Search.run`` do the same by themselves, where their role in the database may.

        Raises:
            BadInput: there is no database to prepare, or the role may not.
        """
        from contextlib import closing

        from orchestrator.common.data_folder import database_file, storage_url_of
        from orchestrator.storage.database import Database

        self.check_open()
        if self.settings.storage_url is None and not database_file(self.settings).exists():
            raise BadInput("ORCHESTRATOR_STORAGE_URL", "is not set", "name the database, as its owner reaches it")
        url = storage_url_of(self.settings)
        with access.server_errors_in_words(), closing(Database(url)) as database:
            database.prepare()
        return redact(url)

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
        self[name]
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
        return isinstance(other, Fleet) and self.settings == other.settings

    def __hash__(self) -> int:
        return hash((self.settings.storage_url, self.settings.redis_url, self.settings.data_dir))

    def __reduce__(self) -> tuple[Any, ...]:
        # What is open stays with this process. The settings may hold passwords, as what is pickled then does.
        return type(self), (self.settings,)

    def __repr__(self) -> str:
        from orchestrator.common.data_folder import storage_url_of

        places = [redact(url) for url in (self.settings.redis_url, storage_url_of(self.settings)) if url]
        return f"<Fleet {' '.join(places)}{' closed' if self._closed else ''}>"

    def _repr_html_(self) -> str:
        import time

        from orchestrator.terminal.overview import render_list

        try:
            found = [each.overview for each in self.statuses()]
        except OrchestratorError as error:
            return as_html(f"{self!r}: {error}")
        return as_html(as_text(render_list(found, _TABLE_WIDTH, time.time()), width=_TABLE_WIDTH))


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


@takes(redis_url=or_none(arguments.text), storage_url=or_none(arguments.text), data_dir=or_none(arguments.path))
def connect(
    redis_url: str | None = None, storage_url: str | None = None, *, data_dir: str | Path | None = None
) -> Fleet:
    """Returns the studies that there are, to look at them and to steer them.

    Without arguments they are those of the environment, as for the commands: ``ORCHESTRATOR_REDIS_URL`` and
    ``ORCHESTRATOR_STORAGE_URL``, or else what `run` keeps in ``ORCHESTRATOR_DATA_DIR``.

    Args:
        redis_url: The fleet's Redis.
        storage_url: The fleet's database. Where it is given alone, studies can be looked at and not steered.
        data_dir: Folder that `run` works in, with its logs and reports.

    Raises:
        BadInput: a URL or a setting is wrong. Servers are first asked when a study is.

    Example:
        from orchestrator import connect

        with connect() as fleet:
            for name, study in fleet.items():
                print(name, study.state, study.best)
    """
    given = {"redis_url": redis_url, "storage_url": storage_url, "data_dir": data_dir}
    return Fleet(settings_with("connect", given))


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
