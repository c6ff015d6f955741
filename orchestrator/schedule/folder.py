"""A folder of specs that is read repeatedly: the schedules in it, and the problems of other files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.common.errors import BadInput, reason_of
from orchestrator.spec import Spec, parse
from orchestrator.spec.load import printable, read
from orchestrator.spec.schedule import ScheduleTable

SUFFIX = ".toml"


@dataclass(frozen=True)
class Schedule:
    """A spec with a [schedule]."""

    path: Path
    spec: Spec
    table: ScheduleTable

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True)
class Contents:
    """The content of a folder.

    Attributes:
        schedules: Schedules by name, in the order of their files.
        problems: Problems by file, a line each; nothing of such a file is run.
    """

    schedules: dict[str, Schedule]
    problems: dict[Path, str]


class Folder:
    """The specs directly in a folder: files that end in .toml, hidden ones excepted.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[Path, tuple[str, Schedule | None]] = {}

    def read(self) -> Contents:
        """Reads the folder. A file that has not changed is not parsed again.

        Raises:
            BadInput: the folder cannot be read.
        """
        try:
            names = sorted(os.listdir(self.path))
        except OSError as error:
            problem = f"cannot be read: {reason_of(error)}"
            raise BadInput(printable(self.path), problem, "name the folder of the specs") from None
        known, self._known = self._known, {}
        contents = Contents({}, {})
        for path in [self.path / name for name in names if name.endswith(SUFFIX) and not name.startswith(".")]:
            found = self._read(path, known.get(path))
            if isinstance(found, str):
                contents.problems[path] = found
            elif found is not None and found.name in contents.schedules:
                other = printable(contents.schedules[found.name].path)
                taken = BadInput(f"{printable(path)}: name", f"'{found.name}' is that of {other}", "take another one")
                contents.problems[path] = str(taken)
            elif found is not None:
                contents.schedules[found.name] = found
        return contents

    def _read(self, path: Path, known: tuple[str, Schedule | None] | None) -> Schedule | str | None:
        """Returns the schedule, or the problem, or ``None`` for a spec without a [schedule]."""
        try:
            text = read(path)
            if known is None or known[0] != text:
                spec = parse(text, printable(path))
                known = text, None if spec.schedule is None else Schedule(path, spec, spec.schedule)
        except BadInput as error:
            return str(error)
        self._known[path] = known
        return known[1]
