"""``python -m tasks.trainer.import_check OBJECTIVE``: imports an objective as a trainer does, and says what is wrong.

The problem is all that comes on stdout: what the objective's module prints goes to stderr.
"""

from __future__ import annotations

import os
import sys

from tasks.code_path import add_code_folders
from tasks.gc_tuning import rare_collections
from tasks.objective_allowlist import Allowlist
from tasks.objective_path import OBJECTIVE_PATH, code_folders


def main() -> None:
    """Writes the problem, in one line without the objective's name; nothing where there is none."""
    (reference,) = sys.argv[1:]
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with rare_collections():
        from tasks.trainer import objective_runner
        from tasks.trainer.launcher_guard import refuse_relaunch
    add_code_folders(code_folders(os.environ.get(OBJECTIVE_PATH, "")))
    refuse_relaunch()
    try:
        objective_runner.load(reference, Allowlist.of(os.environ, reference))
    except objective_runner.ObjectiveMissing as error:
        answer.write(str(error).removeprefix(f"{reference}: "))
    answer.close()
    # Threads that the module has started need not end.
    os._exit(0)


if __name__ == "__main__":
    main()
