"""Functions of a script that are refused, each in one line that says what to do."""

from __future__ import annotations

from tests.unit.bundling.kinds import CARRY, GUARDED, Kind

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
