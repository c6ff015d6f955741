"""Kinds of functions that a user hands over, each as a script: those that are carried, and those that are refused."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

CARRY = "\nfrom orchestrator.bundling import bundle_of_function; bundle = bundle_of_function({})\n"
GUARDED = (
    "\nif __name__ == '__main__':\n"
    "    from orchestrator.bundling import bundle_of_function\n    bundle = bundle_of_function({})\n"
)
PLAIN = """
    def objective(trial):
        return trial.suggest_float("x", 1, 2)
    """


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        name: What is special about it.
        script: The script, without the line that hands the function over.
        refused: Part of the refusal; empty where it is carried.
        given: The expression that is handed over.
        ending: The lines that hand it over.
        files: Other files beside the script.
        has: Files of the bundle; those in ``lacks`` are not in it.
        without: Text that no carried file holds.
        cells: Cells of a notebook, in place of the script.
        args: Keyword arguments of the objective.
    """

    name: str
    script: str = PLAIN
    refused: str = ""
    given: str = "objective"
    ending: str = CARRY
    files: dict[str, str] = field(default_factory=dict)
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    without: str = ""
    cells: tuple[str, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)

    def as_case(self, folder: str) -> dict[str, Any]:
        """Returns it as ``bundle_server`` reads it."""
        handed = textwrap.dedent(self.script) + self.ending.format(self.given)
        files = {"script.py": handed, **{name: textwrap.dedent(text) for name, text in self.files.items()}}
        cells = [textwrap.dedent(cell) for cell in self.cells]
        if cells:
            cells.append(self.ending.format(self.given).strip())
        return {"folder": folder, "files": files, "cells": cells, "args": self.args}


CARRIED = [
    Kind("a plain function"),
    Kind("under a main guard, the whole file", ending=GUARDED, has=("script.py",)),
    Kind(
        "imports, constants, helpers and classes, through each other",
        """
        import math
        from collections import namedtuple as maker
        SCALE = 2.0
        Pair = maker("Pair", "a b")
        class Base:
            def value(self): return SCALE
        class Derived(Base):
            offset = math.pi
            def total(self): return self.value() + self.offset + helper()
        def helper(): return Pair(1, 2).b
        def objective(trial):
            return Derived().total() * trial.suggest_float("x", 1, 2)
        """,
    ),
    Kind(
        "what is not needed stays behind",
        """
        import sys
        raise_if_run_again = sys.modules["__main__"]
        unneeded = 1 / 1
        print("this line starts a search")
        def objective(trial): return 3.0
        """,
        without="raise_if_run_again",
    ),
    Kind(
        "decorators of the file and of the library",
        """
        import functools
        def double(function):
            @functools.wraps(function)
            def wrapper(trial): return 2 * function(trial)
            return wrapper
        @double
        @functools.lru_cache
        def objective(trial): return 2.5
        """,
    ),
    Kind(
        "a decorator that wraps nothing",
        """
        def double(function):
            def wrapper(trial): return 2 * function(trial)
            return wrapper
        @double
        def objective(trial): return 2.5
        """,
    ),
    Kind(
        "dataclasses, type hints, also as text, and defaults",
        """
        from __future__ import annotations
        import typing
        from dataclasses import dataclass, fields
        DEPTH = 3
        class Optimizer: pass
        @dataclass
        class Config:
            depth: int = DEPTH
            optimizer: "Optimizer | None" = None
        def objective(trial: "Config", config: Config = Config(4)) -> float:
            return config.depth + len(typing.get_type_hints(Config))
        """,
    ),
    Kind(
        "enums and a class whose body reads constants",
        """
        import enum
        ONE = 1
        class Kind(enum.Enum):
            A = ONE
            B = A + 1
        def objective(trial): return Kind.B.value
        """,
    ),
    Kind(
        "plain data: numbers, texts, lists, dictionaries",
        """
        TABLE = {"a": [1, 2, (3, 4)], "b": {"c": None}, -1: 1e-3, "nan": float("nan")}
        NAME: str = "a"
        def objective(trial): return TABLE[NAME][2][1] + TABLE[-1]
        """,
    ),
    Kind(
        "data that is filled by later statements",
        """
        table = []
        table.append(4)
        settings = {}
        settings["x"] = 5
        settings["y"] = len(table)
        del settings["y"]
        for each in range(3): table.append(each)
        table += [9]
        total = 1
        total = total + 1
        total += 1
        def objective(trial): return sum(table) + settings["x"] + len(settings) + total
        """,
    ),
    Kind(
        "parts that are computed, and methods that are replaced",
        """
        class Settings:
            rate = 1
            def get(self): return self.rate
        def compute(): return BASE + 1
        def other(self): return 10 * self.rate
        BASE = 4
        settings = Settings()
        settings.rate = compute()
        Settings.get = other
        def objective(trial): return settings.get()
        """,
    ),
    Kind(
        "a part that an earlier search has given",
        """
        class Settings: pass
        settings = Settings()
        def objective(trial): return len(vars(settings)) and 7
        def search(): return objective(None)
        settings.first = search()
        settings.second = 2
        """,
        without="settings.first",
    ),
    Kind(
        "settings of a library that it uses",
        """
        import decimal
        DIGITS = 5
        decimal.getcontext().prec = DIGITS
        def objective(trial): return float(decimal.Decimal(1) / decimal.Decimal(3))
        """,
    ),
    Kind(
        "imports that may fail, and branches",
        """
        try:
            import no_such_module as fast
        except ImportError:
            fast = None
        import sys
        if sys.version_info >= (3, 0):
            def helper(): return 1
        else:
            def helper(): return 2
        def objective(trial): return helper() if fast is None else 5
        """,
    ),
    Kind(
        "a name that is defined twice: the last one counts",
        """
        def helper(): return unknown_name
        def helper(): return 7
        def objective(trial): return helper()
        """,
        without="unknown_name",
    ),
    Kind(
        "unpacked, conditional and walrus assignments",
        """
        a, (b, *c) = 1, (2, 3, 4)
        d = (e := 5) + 1
        with open(__file__) as file: first = file.readline()
        def objective(trial): return a + b + sum(c) + d + e + len(first)
        """,
    ),
    Kind(
        "match statements and comprehensions",
        """
        match [1, {"k": 2}]:
            case [one, {"k": two}]: pass
        squares = [each * each for each in range(4)]
        def objective(trial): return one + two + squares[3]
        """,
    ),
    Kind(
        "statements on one line",
        "import math; unneeded = print('runs'); N = 4\ndef objective(trial): return math.sqrt(N)\n",
        without="print",
    ),
    Kind(
        "a global statement",
        """
        count = 0
        def objective(trial):
            global count, made
            count += 1
            made = count
            return count + made
        """,
    ),
    Kind(
        "a constant that is set again after the search began",
        """
        LR = 1.0
        def objective(trial): return LR
        from orchestrator.bundling import bundle_of_function
        bundle = bundle_of_function(objective)
        """,
        ending="",
    ),
    Kind(
        "a function that is defined below the line that hands it over, and called later",
        """
        def objective(trial): return helper()
        from orchestrator.bundling import bundle_of_function
        bundle = bundle_of_function(objective)
        def helper(): return 3
        """,
        ending="",
    ),
    Kind(
        "a constant that the main guard sets to what it was",
        "RATE = 2\ndef objective(trial): return RATE\n",
        ending="\nif __name__ == '__main__':\n    RATE = 2\n" + GUARDED.split("\n", 2)[2],
    ),
    Kind("recursion", "def objective(trial, n=3): return n and n + objective(trial, n - 1)\n"),
    Kind(
        "static and class methods",
        """
        class Trainer:
            rate = 2
            @staticmethod
            def one(trial): return 1
            @classmethod
            def two(cls, trial): return cls.rate
        objective = Trainer.two
        """,
        given="Trainer.two",
    ),
    Kind(
        "a static method",
        "class T:\n    @staticmethod\n    def one(trial): return 1\nobjective = T.one\n",
        given="T.one",
    ),
    Kind(
        "an object that can be called, by its name",
        """
        class Objective:
            def __init__(self, scale): self.scale = scale
            def __call__(self, trial): return self.scale
        objective = Objective(4)
        """,
    ),
    Kind(
        "a nested function without data",
        """
        import math
        LIMIT = 3
        def build():
            import json as parser
            from math import floor
            def helper(x): return floor(x) + LIMIT
            def inner(trial):
                '''A text
                in two lines.'''
                return helper(2.5) + len(parser.dumps([1])) + len(inner.__doc__)
            return inner
        objective = None
        objective = build()
        """,
        given="build()",
    ),
    Kind(
        "star imports",
        "from math import *\nfrom helpers import *\ndef objective(trial): return floor(pi) + helped()\n",
        files={"helpers.py": "def helped(): return 5\n"},
        has=("helpers.py",),
    ),
    Kind(
        "modules beside the script, those they import, also inside functions",
        "import helpers\nfrom lib import deep\ndef objective(trial): return helpers.go() + deep.VALUE\n",
        files={
            "helpers.py": "def go():\n    import late\n    return late.VALUE\n",
            "late.py": "VALUE = 2\n",
            "lib/__init__.py": "from .base import BASE\n",
            "lib/base.py": "BASE = 1\n",
            "lib/deep.py": "from . import base\nfrom .base import BASE\nVALUE = BASE + base.BASE\n",
            "unrelated.py": "1 / 0\n",
        },
        has=("helpers.py", "late.py", "lib/__init__.py", "lib/base.py", "lib/deep.py"),
        lacks=("unrelated.py",),
    ),
    Kind(
        "a function of a package's module",
        "from pack.sub.train import objective\n",
        files={
            "pack/__init__.py": "",
            "pack/sub/__init__.py": "from .. import shared\n",
            "pack/sub/train.py": "from ..shared import S\ndef objective(trial): return S\n",
            "pack/shared.py": "S = 6\n",
            "pack/other.py": "1 / 0\n",
        },
        has=("pack/__init__.py", "pack/sub/__init__.py", "pack/sub/train.py", "pack/shared.py"),
        lacks=("pack/other.py", "script.py"),
    ),
    Kind(
        "a namespace package",
        "from loose.part import objective\n",
        files={"loose/part.py": "def objective(trial): return 8\n"},
        has=("loose/part.py",),
    ),
    Kind(
        "a module that has the name of one that is installed",
        "import helpers\ndef objective(trial): return helpers.V\n",
        files={"helpers.py": "import json\nV = len(json.dumps([]))\n"},
    ),
    Kind(
        "a script whose module imports it again",
        "import helpers\nVALUE = 3\ndef objective(trial): return helpers.read()\n",
        files={"helpers.py": "def read():\n    import script\n    return script.VALUE\n"},
        ending="\nif 0: VALUE\n" + GUARDED,
    ),
    Kind("names of Python's own", "def objective(trial): return len(__name__) and max(1, 2) + sum([1])\n"),
    Kind("arguments", "def objective(trial, data, scale=1): return sum(data) * scale\n", args={"data": [1, 2]}),
    Kind(
        "a lambda that helps",
        "square = lambda x: x * x\ndef objective(trial): return square(3)\n",
    ),
    Kind(
        "source in another encoding, with tabs and carriage returns",
        "# -*- coding: utf-8 -*-\r\nNAME = 'ä'\r\ndef objective(trial):\r\n\treturn len(NAME)\r\n",
    ),
    Kind(
        "inspect reads its source", "import inspect\ndef objective(trial): return len(inspect.getsource(objective))\n"
    ),
    Kind(
        "modules of one package, imported by themselves",
        "import xml.dom\nimport xml.etree.ElementTree\n"
        "def objective(trial): return len(xml.dom.__name__ + xml.etree.ElementTree.__name__)\n",
    ),
    Kind(
        "a global that the objective itself has changed before",
        """
        count = 0
        def objective(trial):
            global count
            count += 1
            return min(count, 1)
        objective(None)
        """,
    ),
    Kind(
        "a function of an installed package",
        "import inspect\nobjective = inspect.isclass\n",
        lacks=("inspect.py",),
    ),
]

REFUSED = [
    Kind("a lambda", "objective = lambda trial: 1\n", "is a lambda"),
    Kind("an unnamed lambda", "pass\n", "is a lambda", given="lambda trial: 1"),
    Kind(
        "a closure over data",
        "def make(rate):\n    def objective(trial): return rate\n    return objective\n",
        "is a closure over 'rate', which is 4 of the function around it; give it a parameter 'rate' and hand the "
        "value over by args={'rate': …}",
        given="make(4)",
    ),
    Kind(
        "a default from the function around it",
        "def make(rate):\n    def objective(trial, r=rate): return r\n    return objective\n",
        "takes a default, a decorator or a type hint from 'rate' of the function around it",
        given="make(4)",
    ),
    Kind(
        "a closure over a variable that is not set",
        "def make():\n    def objective(trial): return late\n    if 0: late = 1\n    return objective\n",
        "is a closure over 'late'",
        given="make()",
    ),
    Kind(
        "a partial",
        "import functools\ndef train(trial, lr): return lr\n",
        "is a partial, whose values are data; hand over train itself, and what is bound by args= (lr=…)",
        given="functools.partial(train, lr=1)",
    ),
    Kind(
        "a method of an object",
        "class T:\n    def objective(self, trial): return 1\n",
        "is a method of an object of class 'T', which is data",
        given="T().objective",
    ),
    Kind(
        "an object without a name",
        "class T:\n    def __call__(self, trial): return 1\n",
        "is an object of class 'T', which is data",
        given="T()",
    ),
    Kind("a class", "class T:\n    def __init__(self, trial): pass\n", "is a class", given="T"),
    Kind("an async function", "async def objective(trial): return 1\n", "is an async function"),
    Kind("a generator", "def objective(trial): yield 1\n", "is a generator"),
    Kind("a function without parameters", "def objective(): return 1\n", "takes no trial"),
    Kind("a builtin", "pass\n", "is no Python function", given="len"),
    Kind("no function at all", "pass\n", "is 5; hand over a function", given="5"),
    Kind(
        "made by exec",
        "exec('def objective(trial): return 1')\n",
        "was made by exec or eval, and has no source; write it into a file or a cell",
    ),
    Kind(
        "defined in the file, and again by exec",
        "def objective(trial): return 1\nexec('def objective(trial): return 2')\n",
        "'objective' was made by exec or eval",
    ),
    Kind(
        "a helper made by exec",
        "exec('def helper(): return 1')\ndef objective(trial): return helper()\n",
        "uses 'helper', a function whose source cannot be found",
    ),
    Kind(
        "a constant that was changed at run time",
        "RATE = 1\ndef change():\n    global RATE\n    RATE = 2\nchange()\ndef objective(trial): return RATE\n",
        "uses 'RATE', which is 2 now and 1 in line 1 of",
    ),
    Kind(
        "a list that a function has filled",
        "DATA = []\ndef fill(): DATA.append(1)\nfill()\ndef objective(trial): return len(DATA)\n",
        "uses 'DATA', which is 1 entry now and 0 entries in line 1 of",
    ),
    Kind(
        "a name that only the main guard sets",
        "def objective(trial): return rate\n",
        "uses 'rate', which is set only under if __name__ == '__main__'",
        ending="\nif __name__ == '__main__':\n    rate = 3\n" + GUARDED.split("\n", 2)[2],
    ),
    Kind(
        "a name that the main guard sets again",
        "rate = float('1')\ndef objective(trial): return rate\n",
        "uses 'rate', which is set again under if __name__ == '__main__'; give the function a parameter 'rate'",
        ending="\nif __name__ == '__main__':\n    rate = float('3')\n" + GUARDED.split("\n", 2)[2],
    ),
    Kind(
        "a file whose line was changed since it was loaded",
        "import helpers\npass\n",
        "'objective' is not what stands in",
        given="helpers.objective",
        files={"helpers.py": "def objective(t): return 1\nopen(__file__, 'w').write('def objective(t): return 2')\n"},
    ),
    Kind(
        "a variable of the loop that searches",
        "def objective(trial): return rate\nfor rate in [1, 2]:" + CARRY.replace("\n", " ").format("objective"),
        "uses 'rate', which line 2 of",
        ending="\n",
    ),
    Kind(
        "values from the command line",
        "import argparse\nargs = argparse.ArgumentParser().parse_args()\ndef objective(trial): return args\n",
        "uses 'args', which line 2 of",
    ),
    Kind(
        "sys.argv",
        "import sys\nrate = len(sys.argv)\ndef helper(): return rate\ndef objective(trial): return helper()\n",
        "reads from the command line",
    ),
    Kind(
        "a value that was put into the namespace",
        "globals().update(rate=[3])\ndef objective(trial): return rate\n",
        "uses 'rate', a list whose source cannot be found",
    ),
    Kind(
        "a file that was changed since it was loaded",
        "import helpers\npass\n",
        "'objective' is not what stands in",
        given="helpers.objective",
        files={
            "helpers.py": "def objective(trial): return 1\nopen(__file__, 'w').write('\\n\\ndef objective(trial): 0')\n"
        },
    ),
]

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
