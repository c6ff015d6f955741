"""Functions of a script that are carried, and then give the value that they give at home."""

from __future__ import annotations

from tests.unit.bundling.kinds import GUARDED, Kind

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
    Kind(
        "a constant that was changed at run time",
        "RATE = 1\ndef change():\n    global RATE\n    RATE = 2\nchange()\ndef objective(trial): return RATE\n",
    ),
    Kind(
        "a list that a function has filled",
        "DATA = []\ndef fill(): DATA.append(1)\nfill()\ndef objective(trial): return len(DATA)\n",
    ),
    Kind(
        "a registry that a call has filled, empty in its source",
        "DATA = list()\ndef fill(): DATA.append(1)\nfill()\ndef objective(trial): return len(DATA)\n",
    ),
    Kind(
        "a dictionary into which a call has put an array",
        "import numpy as np\nDATA = {'a': None}\ndef fill(): DATA['a'] = np.zeros(3)\nfill()\n"
        "def objective(trial): return DATA['a'].sum()\n",
    ),
]
