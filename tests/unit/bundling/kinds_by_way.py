"""Functions of programs that are started in other ways than ``python FILE``, and of the rarer statements."""

from __future__ import annotations

from tests.unit.bundling.kinds import CARRY, GUARDED, Kind

HELPED = "SCALE = 2\ndef helper(): return SCALE\ndef objective(trial): return helper() + 1\n"

WAYS_CARRIED = [
    Kind("behind -c", HELPED, way="-c"),
    Kind("behind -c, with a line that must not run again", f"{HELPED}start = 1 / 1\n", way="-c", without="start"),
    Kind("a folder that is run", HELPED, way="folder", has=("__main___script.py",)),
    Kind("by run_path", HELPED, way="run_path", has=("script.py",)),
    Kind(
        "by -m, with relative imports",
        "from . import helper\nfrom .sub.deep import VALUE\ndef objective(trial): return helper.go() + VALUE\n",
        ending=GUARDED,
        way="-m",
        files={
            "pack/__init__.py": "",
            "pack/helper.py": "def go(): return 3\n",
            "pack/sub/__init__.py": "",
            "pack/sub/deep.py": "from ..helper import go\nVALUE = go()\n",
        },
        has=("pack/__main__.py", "pack/helper.py", "pack/sub/deep.py"),
    ),
    Kind(
        "setattr, with a constant and with a value that is computed",
        """
        class Settings: pass
        settings = Settings()
        def compute(): return 4
        setattr(settings, "rate", 3)
        setattr(settings, "size", compute())
        delattr(settings, "rate")
        def objective(trial): return settings.size + len(vars(settings))
        """,
    ),
    Kind(
        "a function that others are registered with",
        """
        import functools
        @functools.singledispatch
        def area(x): return 1
        @area.register
        def _(x: int): return 20
        @area.register(str)
        def of_text(x): return 300
        @functools.lru_cache
        def unneeded(): return 1
        def objective(trial): return area(1) + area("") + area(None)
        """,
        without="unneeded",
    ),
    Kind(
        "imports for the type checker alone",
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from no_such_module import Trial
        def objective(trial: Trial) -> float: return 2.0
        """,
    ),
    Kind(
        "globals(), with the names written",
        "SCALE = 2\nOTHER = 3\ndef objective(trial): return globals()['SCALE'] + globals().get('OTHER', 0)\n",
    ),
    Kind(
        "names that walrus, for, with, match and except bind",
        """
        import contextlib
        with contextlib.nullcontext(4) as opened: pass
        if (found := opened + 1): pass
        for index, each in enumerate([5, 6]): last = each
        match [1, 2]:
            case [first, *rest]: pass
        try:
            {}[0]
        except KeyError:
            caught = 7
        (one, two), *three = (8, 9), 10
        def objective(trial): return opened + found + index + last + first + rest[0] + caught + one + three[0]
        """,
    ),
    Kind(
        "an async function that it runs, a generator and a context manager",
        """
        import asyncio, contextlib
        async def load(): return 4
        def count(): yield from (1, 2)
        @contextlib.contextmanager
        def held(): yield 3
        def objective(trial):
            with held() as value: return asyncio.run(load()) + sum(count()) + value
        """,
    ),
    Kind(
        "partials, operators and properties that help",
        """
        import functools, operator
        def scale(x, by): return x * by
        double = functools.partial(scale, by=2)
        first = operator.itemgetter(0)
        class Box:
            size = property(lambda self: double(first([3])))
            @functools.cached_property
            def more(self): return self.size + 1
        def objective(trial): return Box().more
        """,
    ),
    Kind(
        "named tuples, protocols, generics and metaclasses",
        """
        import abc
        from typing import Generic, NamedTuple, Protocol, TypeVar
        T = TypeVar("T")
        class Meta(type):
            def __new__(cls, name, bases, names): return super().__new__(cls, name, bases, {**names, "made": 5})
        class Sized(Protocol):
            def size(self) -> int: ...
        class Box(Generic[T]): pass
        class Made(metaclass=Meta): pass
        class Base(abc.ABC):
            @abc.abstractmethod
            def size(self): ...
        class Thing(Base):
            def size(self): return Made.made
        class Pair(NamedTuple):
            a: int
            b: Box[int] | None = None
        def objective(trial, of: Sized = Thing()): return of.size() + Pair(1).a
        """,
    ),
    Kind(
        "arrays of numpy",
        """
        import numpy as np
        TABLE = np.arange(4)
        TABLE[0] = 7
        TABLE += 1
        def objective(trial): return int(TABLE.sum())
        """,
    ),
    Kind(
        "defined under conditions",
        """
        import sys
        DEBUG = False
        if DEBUG:
            def objective(trial): return 1
        elif sys.platform:
            try:
                def helper(): return 2
            finally:
                pass
            def objective(trial): return helper()
        """,
    ),
    Kind(
        "global and nonlocal variables of its own",
        """
        total = 0
        def add():
            global total
            total = total + 1
            def inner():
                nonlocal_value = total
                return nonlocal_value
            return inner()
        def objective(trial): return min(add(), 1)
        """,
    ),
]

WAYS_REFUSED = [
    Kind("over standard input", HELPED, "has no source that is kept; write it into a file", way="stdin"),
    Kind("in an example of a docstring", HELPED, "has no source that is kept; write it into a file", way="doctest"),
    Kind("from a zip archive", HELPED, "has no source: ", way="zip"),
    Kind(
        "globals(), with names that are computed",
        "SCALE = 2\ndef objective(trial): return globals()['SC' + 'ALE']\n",
        "looks names up by globals(), and which ones is not written there; name what it uses",
    ),
    Kind(
        "an object whose part the objective's own module cannot give again",
        "import functools\nclass T:\n    def __call__(self, trial): return 1\n",
        "is a partial, whose values are data",
        given="functools.partial(T())",
        ending=CARRY,
    ),
]
