"""Functions of a notebook's cells: those that are carried, and those that are refused."""

from __future__ import annotations

from tests.unit.bundling.kinds import Kind

CELLS_CARRIED = [
    Kind(
        "cells: functions, classes and constants of several cells",
        cells=(
            "import math\nSCALE = 2",
            "class Model:\n    def value(self): return SCALE * math.pi",
            "def helper(): return Model().value()",
            "def objective(trial): return helper() + trial.suggest_float('x', 1, 2)",
        ),
    ),
    Kind(
        "cells: defined again, the last one counts",
        cells=(
            "def helper(): return unknown",
            "N = 1",
            "def objective(trial): return helper() + N",
            "def helper(): return 5",
            "N = 3",
            "N = N + 1",
            "N = N + 1",
        ),
        without="unknown",
    ),
    Kind(
        "cells: magics, shell lines, output and errors stay behind",
        cells=(
            "%alias_magic t time",
            "!true",
            "1 +",
            "raise ValueError('a cell that failed')",
            "5",
            "def objective(trial): return 2",
            "objective?",
        ),
        without="get_ipython",
    ),
    Kind(
        "cells: below %%time", cells=("%%time\ndef helper(): return 3", "%%time\ndef objective(trial): return helper()")
    ),
    Kind(
        "cells: what an error has kept from running does not count",
        cells=(
            "N = 1\ndef helper(): return 5\nclass C:\n    v = 1",
            "N = 2\n1 / 0\nN = 3\ndef helper(): return unknown",
            "class C:\n    v = 2\ndef objective(trial): return N + helper() + C.v",
        ),
        without="unknown",
    ),
    Kind(
        "cells: methods that were called in vain, and those that were called before an error",
        cells=(
            "class Sizes:\n    kept = ()\n    def add(self, *more): self.kept += more\nsizes = Sizes()",
            "sizes.add(load())\nsizes.add(100)",
            """
            def load(): return 1
            def fail():
                try:
                    1 / 0
                except ArithmeticError as error:
                    raise ValueError from error
            """,
            """
            def fail_here():
                try:
                    fail()
                except ValueError as error:
                    raise KeyError from error
            sizes.add(2)
            sizes.add(
                fail_here()
            )
            sizes.add(100)
            """,
            "for each in (3, 4):\n    sizes.add(each)\nraise KeyboardInterrupt\nsizes.add(100)",
            "sizes.add(load())",
            "def objective(trial): return sizes.kept",
        ),
        without="100",
    ),
    Kind(
        "cells: a file that %run has run",
        cells=("%run other.py", "def objective(trial): return other() + 1"),
        files={"other.py": "TWO = 2\ndef other(): return TWO\n"},
    ),
    Kind("cells: below %%capture", cells=("%%capture out\ndef objective(trial): return 3",)),
    Kind(
        "cells: the same cell with the search",
        cells=(
            "LR = 2\ndef objective(trial): return LR\n"  # noqa: ISC004
            "from orchestrator.bundling import bundle_of_function; bundle = bundle_of_function(objective)\nLR = 3",
        ),
    ),
    Kind(
        "cells: from __future__, and a module beside the notebook",
        cells=(
            "from __future__ import annotations",
            "import helpers",
            "def objective(trial: Unknown) -> int: return helpers.V",
        ),
        files={"helpers.py": "V = 4\n"},
        has=("helpers.py", "notebook_cells.py"),
    ),
    Kind(
        "cells: a star import",
        cells=("from math import *", "def objective(trial): return floor(pi)"),
    ),
    Kind(
        "cells: parts that constants set, by assignment and by setattr",
        cells=(
            "class Settings: pass\nsettings = Settings()",
            "settings.rate = 3\nRATES = {}",
            "setattr(settings, 'size', 4)\nRATES['a'] = settings.rate",
            "def objective(trial): return settings.rate + settings.size + len(RATES)",
        ),
    ),
    Kind(
        "cells: a module that a cell has written",
        cells=(
            "%%writefile written.py\nV = 3",
            "!echo",
            "import written",
            "await __import__('asyncio').sleep(0)",
            "def objective(trial): return written.V",
        ),
        has=("written.py",),
    ),
    Kind(
        "cells: a nested function",
        cells=("N = 2", "def make():\n    def inner(trial): return N\n    return inner\nobjective = make()"),
        given="make()",
    ),
    Kind(
        "cells: a search that began before",
        cells=(
            "import optuna_like as optuna",
            "def objective(trial): return optuna.V",
            "search = optuna.run(objective)",
            "best = search + 1",
        ),
        files={"optuna_like.py": "V = 1\ndef run(f): return 3\n"},
        without="search",
    ),
]

CELLS_REFUSED = [
    Kind("cells: a lambda", refused="is a lambda", cells=("objective = lambda trial: 1",)),
    Kind(
        "cells: a value of the shell",
        refused="uses 'files', which line 1 of cell 1 sets by a magic or a shell command; give",
        cells=("files = !ls", "def objective(trial): return len(files)"),
    ),
    Kind(
        "cells: a part that is computed",
        refused="uses 'settings', of which line 2 of cell 2 sets a part by more than a constant; set it in a function",
        cells=(
            "class Settings: pass\nsettings = Settings()",
            "def compute(): return 3\nsettings.rate = compute()",
            "def objective(trial): return settings.rate",
        ),
    ),
    Kind(
        "cells: a part that setattr computes",
        refused="uses 'settings', of which line 2 of cell 2 sets a part by more than a constant",
        cells=(
            "class Settings: pass\nsettings = Settings()",
            "def compute(): return 3\nsetattr(settings, 'rate', compute())",
            "def objective(trial): return settings.rate",
        ),
    ),
    Kind(
        "cells: a magic inside the function",
        refused="uses 'get_ipython': a magic or a shell command",
        cells=("def objective(trial):\n    %pwd\n    return 1",),
    ),
    Kind(
        "cells: an await",
        refused="uses 'value', which line 2 of cell 1 sets by an await outside of a function; call asyncio.run there",
        cells=("async def load(): return 4\nvalue = await load()", "def objective(trial): return value"),
    ),
    Kind(
        "cells: output of a cell",
        refused="uses 'Out': a magic",
        cells=("4", "def objective(trial): return Out[1]"),
    ),
    Kind(
        "cells: a constant that a call has changed",
        refused="uses 'SEEN', which is 1 entry now and 0 entries in line 1 of cell 1",
        cells=("SEEN = []", "def objective(trial):\n    SEEN.append(1)\n    return len(SEEN)", "objective(None)"),
    ),
    Kind(
        "cells: a method of an object",
        refused="is a method of an object",
        cells=("class T:\n    def objective(self, trial): return 1\nt = T()",),
        given="t.objective",
    ),
    Kind(
        "cells: made by exec",
        refused="was made by exec or eval",
        cells=("exec('def objective(trial): return 1')",),
    ),
]
