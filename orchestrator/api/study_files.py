"""The files of a study: report, table, models, code; and its deletion."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from orchestrator.api import arguments
from orchestrator.api.arguments import choice, or_none, takes
from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.formatting import listed

# The command line names them among its options.
from orchestrator.export import FORMATS as FORMATS

if TYPE_CHECKING:
    from orchestrator.api.connection import Connection
    from orchestrator.bundling import CodeBundle
    from orchestrator.queries.stored_models import StoredModel
    from orchestrator.queries.study_contents import StudyContents
    from orchestrator.report.write_files import Written


Format = Literal["csv", "json", "parquet"]


class StudyFiles:
    """The part of a study's handle that is about files.

    Attributes:
        name: Name of the study.
    """

    def __init__(self, fleet: Connection, name: str) -> None:
        self.name = arguments.name_of_study(name)
        self._fleet = fleet

    @takes(output=or_none(arguments.path), advance=or_none(arguments.callback))
    def report(self, output: str | Path | None = None, *, advance: Callable[[int], None] | None = None) -> Written:
        """Writes a report, a page of plots and tables, and its plots as PNG; returns their paths.

        Args:
            output: Folder for the files; ``reports/NAME`` in the data folder where it is ``None``.
            advance: Called with the number of plots that were drawn since its last call. Each counts twice: it is
                drawn for the page, and as PNG.

        Returns:
            ``html`` is the path of the page, ``png`` those of the plots; ``missing`` says why there are none.

        Raises:
            BadInput: the folder takes no files, or a package that draws is missing.
        """
        from orchestrator.common.data_folder import folder_of
        from orchestrator.common.extras import require
        from orchestrator.report.write_files import write

        require("report", "plotly", "jinja2")
        from orchestrator.report.load import read

        self._fleet.check_open()
        settings = self._fleet.settings
        facts = read(settings, self.name, time.time)
        folder = folder_of(settings.data_dir, self.name) if output is None else Path(output)
        return write(facts, folder, advance or (lambda _: None))

    @takes(
        output=arguments.path_or_stream,
        format=or_none(choice(*FORMATS)),
        epochs=arguments.flag,
        spreadsheet=arguments.flag,
    )
    def export(
        self,
        output: str | Path | IO[bytes],
        *,
        format: Format | None = None,
        epochs: bool = False,
        spreadsheet: bool = False,
    ) -> Path | None:
        """Writes the trials as a table, with a column for each parameter and attribute; returns the file's path.

        Args:
            output: The file: its path, or an object that is open for writing bytes, of which no path is returned.
            format: What to write; what the file's name ends with, or else csv, where it is ``None``.
            epochs: A row for each epoch that was reported, instead of one for each trial.
            spreadsheet: In CSV, puts an apostrophe before texts that a spreadsheet would run as a formula.

        Raises:
            BadInput: the file cannot be written, or a package for its format is missing.
        """
        from orchestrator.export.write_table import check_format, format_of, write_table

        sink = Path(output) if isinstance(output, str) else output
        path = sink if isinstance(sink, Path) else None
        form = check_format(format or format_of(path), spreadsheet=spreadsheet)
        with self._fleet.reader() as reader:
            write_table(reader.trials(self.name), sink, form, epochs=epochs, spreadsheet=spreadsheet)
        return None if path is None else path.resolve()

    @takes(trial=or_none(arguments.trial))
    def models(self, trial: int | str | None = None) -> list[StoredModel]:
        """Returns the models that trials have saved, by trial and time: ``filename``, ``size``, ``artifact_id``.

        Args:
            trial: Only those of this trial: its number, ``"best"`` or ``"last"``.

        Raises:
            BadInput: there is no such trial, or it has no stored model.
        """
        with self._fleet.reader() as reader:
            number = None if trial is None else reader.trial(self.name, str(trial)).number
            found = reader.models(self.name)
        if number is None:
            return found
        mine = [each for each in found if each.trial == number]
        if not mine:
            others = dict.fromkeys(each.trial for each in found)
            remedy = (
                f"trials with one: {listed(others)}" if others else f"no trial of '{self.name}' has one in the store"
            )
            raise BadInput(f"trial {number} of study '{self.name}'", "has no stored model", remedy)
        return mine

    @takes(trial=arguments.trial, name=or_none(arguments.text))
    def model(self, trial: int | str = "best", name: str | None = None) -> StoredModel:
        """Returns one model of a trial.

        Args:
            trial: Its number, ``"best"`` or ``"last"``.
            name: What the objective called the model; the newest where it is ``None``.

        Raises:
            BadInput: there is no such trial or model.
        """
        found = self.models(trial)
        if name is None:
            return found[-1]
        named = [each for each in found if each.filename == name]
        if not named:
            known = did_you_mean(name, (each.filename for each in found))
            raise BadInput(f"trial {found[0].trial} of study '{self.name}'", f"has no model '{name}'", known)
        return named[-1]

    @takes(trial=arguments.trial, output=arguments.path, name=or_none(arguments.text))
    def get_model(self, trial: int | str = "best", output: str | Path = ".", *, name: str | None = None) -> Path:
        """Copies a model out of the artifact store; returns the path of the copy.

        Args:
            trial: Number of its trial, ``"best"`` or ``"last"``.
            output: File, or folder, that takes it. A file that is there is never overwritten.
            name: What the objective called the model; the newest where it is ``None``.

        Raises:
            BadInput: there is no such model, this host does not reach it, or the file is there.
        """
        from orchestrator.export.model_files import ModelFiles

        return ModelFiles(self._fleet.settings).get(self.model(trial, name), Path(output))

    @takes(trial=arguments.trial, name=or_none(arguments.text))
    def remove_models(self, trial: int | str, *, name: str | None = None) -> list[StoredModel]:
        """Deletes the models of a trial, files and records, and returns what they were. It cannot be undone.

        Args:
            trial: Its number, ``"best"`` or ``"last"``.
            name: Only the model that the objective called so.

        Raises:
            BadInput: there is no such model, or it cannot be deleted.
        """
        from orchestrator.export.model_files import ModelFiles

        files = ModelFiles(self._fleet.settings)
        found = self.models(trial) if name is None else [self.model(trial, name)]
        with self._fleet.reader() as reader:
            files.check_store(found, reader.models(self.name))
        for each in found:
            files.remove(each)
        return found

    @takes(trial=or_none(arguments.trial), to=or_none(arguments.path))
    def code(self, trial: int | str | None = None, *, to: str | Path | None = None) -> CodeBundle:
        """Returns the code that the study has sent to workers: ``objective``, ``digest``, and ``files``.

        Args:
            trial: What this trial ran; the newest code where it is ``None``.
            to: A folder, empty or new, into which the files are written.

        Raises:
            BadInput: there is no such trial, the study has sent no code, or the folder takes none.
        """
        from orchestrator.export.code_files import find_bundle, write_bundle

        with self._fleet.reader() as reader:
            found = reader.code(self.name)
            digest = "" if trial is None else reader.trial(self.name, str(trial)).source
        if trial is not None and found and not digest:
            where = f"trial {trial} of study '{self.name}'"
            raise BadInput(where, "has not begun, and so has run no code", "name another one")
        bundle = find_bundle(found, self.name, digest)
        if to is not None:
            write_bundle(bundle, Path(to))
        return bundle

    def code_digests(self) -> list[str]:
        """Returns the digests of all code that the study has sent to workers, the newest last."""
        with self._fleet.reader() as reader:
            return [each.digest for each in reader.code(self.name)]

    def contents(self) -> StudyContents:
        """Returns what ``delete`` would delete: how many ``trials``, ``files`` and ``checkpoints``, on which ``hosts``
        there are logs.

        Raises:
            BadInput: there is no such study.
        """
        with self._fleet.reader() as reader:
            return reader.contents(self.name)

    @takes(contents=or_none(arguments.contents))
    def delete(self, contents: StudyContents | None = None) -> StudyContents:
        """Deletes the study with all that belongs to it: rows, checkpoints, models, report, logs on this host.

        It cannot be undone. A killed call is finished by the next one.

        Args:
            contents: What ``contents`` has returned before: another study that has taken the name since is left alone.

        Returns:
            What was deleted. Logs on other ``hosts`` stay.

        Raises:
            BadInput: it goes on; ``stop`` ends it.
        """
        from orchestrator.control.delete_studies import delete_study

        found = self.contents() if contents is None else contents
        delete_study(self._fleet.settings, found)
        return found
