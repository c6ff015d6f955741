"""Reports of runs, written by processes of their own, and the files of a study on this host."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from orchestrator.common.data_folder import folder_of
from orchestrator.control.file_deleter import FileDeleter
from orchestrator.queries.logs import log_folders
from tasks.redis_keys import is_name

LONGEST_SECONDS = 600.0
"""A report that takes longer is given up."""


class Reports:
    """One report after the other, by ``orchestrator report``: drawing takes seconds, in which the loop goes on.

    Args:
        data_dir: Where reports and logs are kept, an absolute path.
        environment: The environment of the processes; it says where the database is.
        command: What is called with the name of the study behind it.
        longest: Seconds after which a report is given up.
    """

    def __init__(
        self,
        data_dir: Path,
        environment: Mapping[str, str],
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "orchestrator", "report"),
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self._files = FileDeleter(str(data_dir), "what is left of a study")
        self._data_dir = data_dir
        self._environment = dict(environment)
        self._command = command
        self._longest = longest
        self._writer = ThreadPoolExecutor(1, "reports")
        self._asked: dict[str, Future[str]] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False

    def ask(self, study: str) -> str | None:
        """Has the report of a study written; returns where it is, or why it is not, once that is known."""
        if study not in self._asked:
            self._asked[study] = self._writer.submit(self._write, study)
        return self._asked.pop(study).result() if self._asked[study].done() else None

    def delete(self, study: str) -> None:
        """Deletes a study's report, and what its trials have printed on this host."""
        folders = [folder_of(self._data_dir, study)]
        # Of a study that only Optuna has run the name may be a path; no trial of it has printed anything here.
        if is_name(study):
            folders += log_folders(self._data_dir, study)
        for folder in folders:
            self._files.delete_folder(str(folder.relative_to(self._data_dir)))

    @property
    def idle(self) -> bool:
        """Whether no deletion is pending."""
        return self._files.idle

    @property
    def has_news(self) -> bool:
        """Whether something is known now that ``ask`` has not returned yet."""
        return any(each.done() for each in self._asked.values())

    def close(self) -> None:
        """Ends in order; a report that is being written is left to the next leader."""
        with self._lock:
            self._closing = True
            if self._process is not None:
                self._process.kill()
        self._writer.shutdown(cancel_futures=True)
        self._files.close()

    def _write(self, study: str) -> str:
        with self._lock:
            if self._closing:
                return ""
            try:
                process = self._process = subprocess.Popen(
                    [*self._command, study],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                return f"failed: {error.strerror}"
        with process:
            try:
                output, _ = process.communicate(timeout=self._longest)
            except subprocess.TimeoutExpired:
                process.kill()
                return f"failed: not written within {self._longest:g} s"
        said = _last_line(output.decode(errors="replace"))
        return f"failed: {said}" if process.returncode else said


def _last_line(text: str) -> str:
    lines = (line.removeprefix("orchestrator: ") for line in reversed(text.split("\n")) if line.strip())
    return next(lines, "it said nothing")
