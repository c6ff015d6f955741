"""Reports of runs, written by processes of their own, and the files of a study on this host."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from orchestrator.common.data_folder import folder_of
from orchestrator.control.file_deleter import FileDeleter
from orchestrator.queries.logs import log_folders

LONGEST_SECONDS = 600.0
"""A report that takes longer is given up."""


class _Writing(NamedTuple):
    study: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    begun: float


class Reports:
    """One report after the other, by ``orchestrator report``: drawing takes seconds, in which the loop goes on.

    Args:
        data_dir: Where reports and logs are kept, an absolute path.
        environment: The environment of the processes; it says where the database is.
        monotonic: Time.
        command: What is called with the name of the study behind it.
    """

    def __init__(
        self,
        data_dir: Path,
        environment: Mapping[str, str],
        monotonic: Callable[[], float] = time.monotonic,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "orchestrator", "report"),
    ) -> None:
        self._files = FileDeleter(str(data_dir), "what is left of a study")
        self._data_dir = data_dir
        self._environment = dict(environment)
        self._monotonic = monotonic
        self._command = command
        self._asked: list[str] = []
        self._writing: _Writing | None = None
        self._said: dict[str, str] = {}

    def ask(self, study: str) -> str | None:
        """Has the report of a study written; returns where it is, or why it is not, once that is known."""
        self._advance()
        if study in self._said:
            return self._said.pop(study)
        if study not in self._asked and (self._writing is None or self._writing.study != study):
            self._asked.append(study)
            self._advance()
        return None

    def delete(self, study: str) -> None:
        """Deletes a study's report, and what its trials have printed on this host."""
        for folder in (folder_of(self._data_dir, study), *log_folders(self._data_dir, study)):
            self._files.delete_folder(str(folder.relative_to(self._data_dir)))

    @property
    def idle(self) -> bool:
        """Whether everything is deleted that was to be, as far as it can be."""
        return self._files.idle

    @property
    def has_news(self) -> bool:
        """Whether something is known now that ``ask`` has not returned yet."""
        self._advance()
        return bool(self._said)

    def close(self) -> None:
        """Ends in order; a report that is being written is left to the next leader."""
        if self._writing is not None:
            self._writing.process.kill()
            self._end(self._writing)
        self._files.close()

    def _advance(self) -> None:
        writing = self._writing
        if writing is not None:
            late = self._monotonic() - writing.begun > LONGEST_SECONDS
            if late:
                writing.process.kill()
                writing.process.wait()
            code = writing.process.poll()
            if code is None:
                return
            said = f"not written within {LONGEST_SECONDS:g} s" if late else _last_line(writing.output)
            self._said[writing.study] = f"failed: {said}" if code else said
            self._end(writing)
        if self._asked:
            self._writing = self._begin(self._asked.pop(0))

    def _begin(self, study: str) -> _Writing | None:
        output = tempfile.TemporaryFile()  # noqa: SIM115  # it ends with the process
        try:
            process = subprocess.Popen(
                [*self._command, study],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        except OSError as error:
            self._said[study] = f"failed: {error.strerror}"
            output.close()
            return None
        return _Writing(study, process, output, self._monotonic())

    def _end(self, writing: _Writing) -> None:
        writing.process.wait()
        writing.output.close()
        self._writing = None


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    lines = file.read().decode(errors="replace").split("\n")
    return next((line.removeprefix("orchestrator: ") for line in reversed(lines) if line.strip()), "it said nothing")
