"""Functions that find others in a registry, which definitions enter, or that use what statements have changed."""

from __future__ import annotations

from tests.unit.bundling.kinds import Kind

_READ = "def objective(trial): return sum(each() for each in REGISTRY.values()) + len(REGISTRY)\n"
_SUBCLASSES = """
class Base:
    known = {}
    def __init_subclass__(cls, **settings):
        super().__init_subclass__(**settings)
        Base.known[cls.__name__] = cls
class Small(Base):
    def size(self): return 2
class Large(Small):
    def size(self): return super().size() * OFFSET
OFFSET = 50
"""
_ELSEWHERE = """
KNOWN = {}
def register(name):
    def enter(made):
        _add(name, made)
        return made
    return enter
def _add(name, made): KNOWN[name] = made
def build(name): return KNOWN[name]()
def double(function):
    def inner(): return 2 * function()
    return inner
class Model:
    def __init_subclass__(cls, kind=None): KNOWN[kind] = cls
class Registry:
    def __init__(self): self.kept = {}
    def enter(self, made):
        self.kept[made.__name__] = made
        return made
    __call__ = enter
KEPT = Registry()
def kept(name): return KEPT.kept[name]()
"""


def _elsewhere(name: str, script: str, **more: str) -> Kind:
    """Returns a kind whose registry is in a module beside the script."""
    return Kind(name, script, files={"zoo.py": _ELSEWHERE}, has=("zoo.py",), **more)


REGISTERED = [
    Kind(
        "a registry that a function fills, which decorates",
        "REGISTRY = {}\ndef register(made):\n    REGISTRY[made.__name__] = made\n    return made\n"
        "@register\ndef small(): return SMALL\nSMALL = 3\n" + _READ,
    ),
    Kind(
        "a registry that a function fills, which returns what decorates",
        "REGISTRY = dict()\n"
        "def register(name):\n    def enter(made): return REGISTRY.setdefault(name, made)\n    return enter\n"
        "@register('s')\ndef small(): return 4\n@register(name='l')\nclass Large(int): pass\n" + _READ,
    ),
    Kind(
        "a registry that a function fills through another one, and a partial of it",
        "import functools\nREGISTRY = {}\n"
        "def add(name, made): REGISTRY.update({name: made})\n"
        "def register(made, name='x'):\n    add(name, made)\n    return made\n"
        "named = functools.partial(register, name='y')\n"
        "@register\ndef one(): return 1\n@named\ndef two(): return 20\n" + _READ,
    ),
    Kind(
        "a registry that a class fills, whose objects decorate",
        "REGISTRY = {}\n"
        "class register:\n    def __init__(self, name): self.name = name\n"
        "    def __call__(self, made):\n        REGISTRY[self.name] = made\n        return made\n"
        "@register('s')\ndef small(): return 4\n" + _READ,
    ),
    Kind(
        "a registry that is called",
        "class Registry(dict):\n    def __call__(self, made):\n"
        "        self[made.__name__] = made\n        return made\n"
        "REGISTRY = Registry()\n@REGISTRY\ndef small(): return 4\n"
        "enter = REGISTRY.__call__\n@enter\ndef large(): return 50\n" + _READ,
    ),
    Kind(
        "a registry that __init_subclass__ fills",
        _SUBCLASSES + "def objective(trial): return sum(each().size() for each in Base.known.values())\n",
    ),
    Kind(
        "a registry of the module that __init_subclass__ fills, by a name that a keyword gives",
        "REGISTRY = {}\nclass Base:\n    def __init_subclass__(cls, name): REGISTRY[name] = cls\n"
        "class Small(Base, name='s'):\n    def __new__(cls): return 6\n" + _READ,
    ),
    Kind(
        "a registry that a metaclass fills",
        "class Meta(type):\n    known = []\n"
        "    def __new__(cls, name, bases, names):\n"
        "        made = super().__new__(cls, name, bases, names)\n        cls.known.append(made)\n        return made\n"
        "class Base(metaclass=Meta): pass\nclass Small(Base): size = 7\n"
        "def objective(trial): return sum(getattr(each, 'size', 1) for each in Meta.known)\n",
    ),
    Kind(
        "classes and objects that answer in ways of their own",
        "class Meta(type):\n    known = []\n    def __init__(cls, *given): Meta.known.append(cls)\n"
        "    def __eq__(cls, other): raise TypeError\n    __hash__ = type.__hash__\n"
        "class Base(metaclass=Meta): size = 7\nclass Small(Base): size = 8\n"
        "class Proxy:\n    __dict__ = property(lambda self: 1 / 0)\n    def task(self, made): return made\n"
        "proxy = Proxy()\n@proxy.task\ndef small(): return 2\n"
        "def objective(trial): return small() + sum(each.size for each in Meta.known)\n",
    ),
    Kind(
        "the subclasses of a class",
        "class Base: pass\nclass Small(Base): size = 2\nclass Large(Small): size = 30\n"
        "def every(cls): return [cls, *(deep for each in cls.__subclasses__() for deep in every(each))]\n"
        "def objective(trial): return sum(getattr(each, 'size', 1) for each in every(Base))\n",
    ),
    Kind(
        "functions and classes that a method is given",
        """
        import abc
        class Sized(abc.ABC): pass
        class Small: size = 2
        Sized.register(Small)
        STEPS = list()
        def step(): return FIVE
        FIVE = 5
        STEPS.append(step)
        NAMED = {}
        NAMED.update(small=Small)
        def objective(trial): return STEPS[0]() + NAMED["small"].size + isinstance(Small(), Sized)
        """,
    ),
    _elsewhere(
        "a registry of another module, with a decorator",
        "import zoo\nfrom zoo import build, register\n"
        "@register('s')\ndef small(): return 4\n@zoo.register('l')\nclass Large(int): pass\n"
        "@zoo.double\ndef unneeded(): return 1\n"
        "def objective(trial): return build('s') + build('l') + 1\n",
        without="unneeded",
    ),
    _elsewhere(
        "a registry of another module, with a base class",
        "from zoo import Model, build\nclass Small(Model, kind='s'): size = 4\n"
        "def objective(trial): return build('s').size\n",
    ),
    _elsewhere(
        "a registry of another module that is an object",
        "from zoo import KEPT, kept\n@KEPT.enter\ndef small(): return 4\n@KEPT\ndef large(): return 50\n"
        "def objective(trial): return kept('small') + kept('large')\n",
    ),
    Kind(
        "decorators that keep nothing",
        """
        import functools
        CALLS = []
        def counted(function):
            @functools.wraps(function)
            def inner(*given):
                CALLS.append(given)
                return function(*given)
            return inner
        @counted
        def unneeded(): return 1
        @counted
        def objective(trial): return len(CALLS)
        """,
        without="unneeded",
    ),
    Kind(
        "cells: a registry that a function fills, which decorates",
        cells=(
            "REGISTRY = {}\ndef register(made):\n    REGISTRY[made.__name__] = made\n    return made",
            "@register\ndef small(): return 3",
            "@register\ndef small(): return 4",
            _READ,
        ),
    ),
    Kind(
        "cells: a registry that __init_subclass__ fills",
        cells=(_SUBCLASSES, "def objective(trial): return sum(each().size() for each in Base.known.values())"),
    ),
]

CHANGED = [
    Kind(
        "methods of objects that are given what is computed",
        """
        from sklearn.preprocessing import StandardScaler
        import numpy as np
        def load(): return np.array([[1.0], [3.0]])
        TABLE = load()
        scaler = StandardScaler()
        scaler.fit(TABLE)
        def objective(trial): return float(scaler.mean_[0])
        """,
    ),
    Kind(
        "what a library's function does with other objects",
        """
        import threading
        def watch(): pass
        threading.Thread(target=watch).start()
        def objective(trial): return len(threading.__name__)
        """,
        without="watch",
    ),
    Kind(
        "what a logger and a console are told",
        """
        import logging
        from rich.console import Console
        log = logging.getLogger("mine")
        log.setLevel(logging.INFO)
        console = Console(quiet=True)
        def load(): return [1, 2]
        log.info("there are %d", len(load()))
        console.print(load())
        def objective(trial):
            log.info("begins")
            console.print("begins")
            return log.level
        """,
        without="load",
    ),
    Kind(
        "a name that is bound to what wraps its definition",
        """
        import functools
        def double(function):
            @functools.wraps(function)
            def inner(trial): return 2 * function(trial)
            return inner
        def objective(trial): return 2
        objective = double(objective)
        """,
    ),
    Kind(
        "a class that is defined again behind an object of the first one",
        "class A: v = 1\na = A()\nclass A: v = 2\ndef objective(trial): return a.v + 10 * A.v\n",
    ),
    Kind(
        "modules that calls import by a constant name",
        "from importlib import import_module\n"
        "def objective(trial): return import_module('plug.one').V + __import__('two').V\n",
        files={"plug/__init__.py": "", "plug/one.py": "V = 1\n", "two.py": "V = 2\n"},
        has=("plug/__init__.py", "plug/one.py", "two.py"),
    ),
    Kind("cells: behind %time", cells=("%time x = 3\ny = 4", "def objective(trial): return x + y")),
    Kind("cells: below %%prun", cells=("%%prun -q\nx = 3", "def objective(trial): return x")),
    Kind(
        "cells: a file that %run -i has run",
        cells=("%run -i other.py", "def objective(trial): return OTHER"),
        files={"other.py": "OTHER = 3\n"},
    ),
    Kind(
        "cells: a class that is defined again behind an object of the first one",
        cells=("class A: v = 1", "a = A()", "class A: v = 2", "def objective(trial): return a.v"),
    ),
    Kind(
        "cells: methods of objects that are given what is computed",
        cells=("def load(): return [3]", "L = []\nL.extend(load())", "def objective(trial): return L[0]"),
    ),
]

UNREGISTERED = [
    Kind(
        "a closure over a class",
        "def build():\n    class M: v = 1\n    def objective(trial): return M.v\n    return objective\n",
        "of the function around it; move 'M' to the top level of the file",
        given="build()",
    ),
]
