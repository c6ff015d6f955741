"""The studies that there are, by name: of a fleet, or of what `run` keeps on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.api import access, arguments
from orchestrator.api.arguments import every, or_none, takes, whole
from orchestrator.api.connection import Connection, UnknownStudy, settings_with
from orchestrator.api.shown import Answer, as_html, as_text
from orchestrator.api.status import StudyStatus
from orchestrator.api.study_handle import StudyHandle
from orchestrator.common.errors import BadInput, OrchestratorError
from orchestrator.common.urls import redact

if TYPE_CHECKING:
    from orchestrator.model.fleet import FleetWorker

_TABLE_WIDTH = 160
"""Characters of a line of the table of studies in a notebook, which scrolls."""


class Fleet(Connection, Mapping[str, StudyHandle]):
    """The studies of a database, as a mapping of their names to their handles.

    ``connect`` makes it. Use it in a ``with`` statement, or call ``close``: it closes what was opened through it.

    Args:
        settings: Where Redis, database and data folder are.
    """

    def __getitem__(self, name: str) -> StudyHandle:
        try:
            name = arguments.name_of_study(name)
        except BadInput as error:
            raise UnknownStudy(error.where, error.problem, error.remedy) from None
        self._check_there(name)
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

    @takes(must_exist=arguments.flag)
    def statuses(self, *, must_exist: bool = False) -> list[StudyStatus]:
        """Returns where each study stands, as `orchestrator ls` shows it; none where there is no database yet.

        Args:
            must_exist: Raises ``BadInput`` where there is no database.
        """
        import time

        from orchestrator.queries.readonly import NothingThere

        try:
            with self.reader() as reader:
                found = reader.overviews()
        except NothingThere:
            if must_exist:
                raise
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

    @takes(names=every(arguments.text))
    def models(self, *names: str) -> Answer:
        """Says which models trials have saved, where they are stored, and which of them this host reaches.

        Args:
            *names: Names of studies; of all of them where there are none.

        Raises:
            BadInput: there is no such study, or no database.
        """
        from orchestrator.export.model_files import ModelFiles
        from orchestrator.terminal.model_table import render, to_json

        files = ModelFiles(self.settings)
        with self.reader() as reader:
            studies = names or [each.progress.study for each in reader.overviews()]
            found = [each for name in studies for each in reader.models(name)]
        reached = files.reachable(found)
        data = [to_json(each, reached, files.location(each)) for each in found]
        return Answer(lambda width: [render(found, reached, files.where, width)], data)

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

        return read_schedules(self.reader, Path(folder), last)

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

        return self.handle(run_now(self.settings, self.commands, name, Path(folder)))

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

    def _repr_html_(self) -> str:
        import time

        from orchestrator.terminal.overview import render_list

        try:
            found = [each.overview for each in self.statuses()]
        except OrchestratorError as error:
            return as_html(f"{self!r}: {error}")
        return as_html(as_text(render_list(found, _TABLE_WIDTH, time.time()), width=_TABLE_WIDTH))


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
