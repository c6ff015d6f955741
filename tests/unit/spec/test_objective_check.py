"""The objective is checked from its source: found where Python would find it, and never run."""

from __future__ import annotations

import importlib.machinery
import os
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.common.errors import BadInput
from orchestrator.spec.objective_check import check_objective

RUN = "raise SystemExit('this module was run')\n"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(source: str | bytes, name: str = "here.py") -> Path:
    file = Path.cwd() / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(source.encode() if isinstance(source, str) else source)
    return file


def checked(reference: str, *search_path: Path) -> None:
    """Whatever is checked, nothing is imported and the path stays as it was."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        check_objective(reference, search_path)
    finally:
        assert sys.path == path
        assert {name for name in set(sys.modules) - modules if not name.startswith("encodings")} == set()


def refusal(reference: str, *search_path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        checked(reference, *search_path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("objective ")
    return message


GOOD = [
    "def f(trial): ...",
    "def f(trial, epochs=3): ...",
    "def f(*args): ...",
    "def f(trial, /): ...",
    "@decorated\ndef f(): yield",
    "@decorated\nasync def f(trial): ...",
    "def f(trial):\n    def g():\n        yield 1\n    return 1",
    "def f(trial):\n    return sum((yield_ for yield_ in [1]))",
    "f = lambda trial: 1",
    "f = make(3)",
    "f = functools.partial(g, 1)",
    "f: Callable = g",
    "g = f = h",
    "f, g = make()",
    "[f, *g] = make()",
    "class f: ...",
    "from x import f",
    "from x import g as f",
    "from x import *",
    "def __getattr__(name): ...",
    "globals()['f'] = g",
    "exec(text)",
    "sys.modules[__name__] = Lazy()",
    "if x:\n    def f(trial): ...\nelse:\n    f = None",
    "if x: pass\nelif y:\n    def f(trial): ...",
    "try:\n    from x import f\nexcept ImportError:\n    f = None",
    "try: ...\nfinally:\n    def f(trial): ...",
    "try: ...\nexcept E:\n    def f(trial): ...",
    "with x as f: ...",
    "with x:\n    def f(trial): ...",
    "for f in functions: ...",
    "while x:\n    def f(trial): ...",
    "match x:\n    case 1:\n        def f(trial): ...",
    "print(f := make())",
    "if (f := make()): ...",
    "def set_up():\n    global f\n    f = make()\nset_up()",
    "if TYPE_CHECKING:\n    f = 3\nelse:\n    def f(trial): ...",
    "f = None\ndef f(trial): ...",
    "# coding: latin-1\nname = '\xe9'\ndef f(trial): ...".encode("latin-1"),
    "\ufeffdef f(trial): ...",
    "x = '\\d'\ndef f(trial): ...",
    "".join(f"{'el' if index else ''}if x == {index}: pass\n" for index in range(1500)),
]


@pytest.mark.parametrize("source", GOOD, ids=[repr(source)[:60] for source in GOOD])
def test_taken(source: str | bytes) -> None:
    written(source)
    checked("here:f")


BAD = [
    ("", "here.py defines no 'f'; it defines no function"),
    ("def g(trial): ...\nx = 3", "defines no 'f'; known: g"),
    ("def ff(trial): ...", "defines no 'f'; did you mean 'ff'?"),
    ("async def f(trial): ...", "'f' is an async function"),
    ("def f(trial):\n    yield 1", "'f' is a generator"),
    ("def f(trial):\n    x = yield from g()", "'f' is a generator"),
    ("def f(): ...", "'f' takes no trial"),
    ("def f(*, trial): ...", "'f' takes no trial"),
    ("def f(**trial): ...", "'f' takes no trial"),
    ("f = 3", "'f' is an integer (3)"),
    ("f = -3.5", "'f' is a float (3.5)"),
    ("f = 1j", "'f' is complex"),
    ("f = True", "'f' is a boolean (true)"),
    ("f = 'text'", "'f' is a string ('text')"),
    ("f = f'{x}'", "'f' is a string"),
    ("f = b'text'", "'f' is bytes"),
    ("f = None", "'f' is None"),
    ("f = ...", "'f' is ellipsis"),
    ("f = [g]", "'f' is a list"),
    ("f = g,", "'f' is a tuple"),
    ("f = {}", "'f' is a dict"),
    ("f = {1}", "'f' is a set"),
    ("f = [x for x in y]", "'f' is a list"),
    ("f = (x for x in y)", "'f' is a generator"),
    ("f: int = 3", "'f' is an integer (3)"),
    ("f: int", "defines no 'f'"),
    ("import f", "'f' is a module"),
    ("import f.g", "'f' is a module"),
    ("import x as f", "'f' is a module"),
    ("import x.f", "defines no 'f'"),
    ("f = 3\nf = 'x'", "'f' is a string ('x')"),
    ("def g():\n    def f(trial): ...", "defines no 'f'"),
    ("class g:\n    def f(self): ...", "defines no 'f'"),
    ("if TYPE_CHECKING:\n    from x import f", "defines no 'f'"),
    ("if typing.TYPE_CHECKING:\n    from x import f", "defines no 'f'"),
    ("if __name__ == '__main__':\n    def f(trial): ...", "only under if __name__ == '__main__'"),
    ("if '__main__' == __name__:\n    def f(trial): ...", "only under if __name__ == '__main__'"),
    ("x = 1\ndef f(trial:\n", "syntax error in {file}:2: "),
    ("\tdef f(trial): ...\n", "syntax error in {file}:1: "),
    ("def f(trial):\n    return '\0'", "{file}"),
    (b"name = '\xe9'\ndef f(trial): ...", "syntax error in {file}"),
    ("# coding: nonsense\ndef f(trial): ...", "syntax error in {file}"),
    ("f = " + "(" * 500 + ")" * 500, "{file}"),
]


@pytest.mark.parametrize(("source", "piece"), BAD, ids=[repr(source)[:60] for source, _ in BAD])
def test_refused(source: str | bytes, piece: str) -> None:
    file = written(source)
    assert piece.format(file=file) in refusal("here:f")


def test_a_long_list_of_names_is_cut() -> None:
    written("".join(f"def long_name_{index}(trial): ...\n" for index in range(500)))
    message = refusal("here:f")
    assert message.endswith("long_name_9, …")


def test_methods_are_looked_up_by_their_class_only() -> None:
    written("class A:\n    def f(trial): ...\nx = 3\n")
    checked("here:A.f")
    checked("here:x.f")
    assert "defines no 'B'" in refusal("here:B.f")


@pytest.mark.parametrize("reference", ["", "here", "here:", ":f", "a/b.py:f", "x" * 600, "here:f\0", "😀"])
def test_references_of_another_form(reference: str) -> None:
    refusal(reference)


def test_modules_are_found_and_never_run() -> None:
    good = RUN + "def f(trial): ...\n"
    for name in (
        "top.py",
        "pack/__init__.py",
        "pack/sub/__init__.py",
        "pack/sub/deep.py",
        "space/inner/mod.py",
    ):
        written(good, name)
    for module in ("top", "pack", "pack.sub", "pack.sub.deep", "space.inner.mod"):
        checked(f"{module}:f")


@pytest.mark.parametrize(
    ("module", "piece"),
    [
        ("tpo", "there is no module 'tpo'; did you mean 'top'?"),
        ("zzzzzz", "there is no module 'zzzzzz'; put zzzzzz.py into {here}, or install it"),
        ("packk.sub", "there is no module 'packk'; did you mean 'pack'?"),
        ("pack.sbu", "there is no module 'pack.sbu'; did you mean 'pack.sub'?"),
        ("pack.zzzzzz", "there is no module 'pack.zzzzzz'; known: pack.sub"),
        ("pack.sub.zz", "there is no module 'pack.sub.zz'; 'pack.sub' has no modules"),
        ("top.x", "there is no module 'top.x'; 'top' is a module, not a package"),
        ("space", "'space' is a folder without an __init__.py"),
        ("space.inner", "'space.inner' is a folder without an __init__.py"),
        ("x" * 300, "there is no module"),
    ],
)
def test_modules_that_are_not_there(module: str, piece: str) -> None:
    for name in ("top.py", "pack/__init__.py", "pack/sub/__init__.py", "space/inner/mod.py"):
        written(RUN, name)
    assert piece.format(here=Path.cwd()) in refusal(f"{module}:f")


def test_the_search_path_comes_first(tmp_path: Path) -> None:
    other = tmp_path / "other"
    written("f = 3", "here.py")
    written("def f(trial): ...", "other/here.py")
    assert "is an integer" in refusal("here:f")
    checked("here:f", other)
    assert "there is no module" in refusal("elsewhere:f", other / "nowhere")
    # This program has imported Python's own by then.
    written("def f(trial): ...", "json.py")
    assert "'json' is also the name of a module of Python's own" in refusal("json:f")


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    checked("json:loads")
    assert "there is no module" in refusal("zzzzzz:f")


@pytest.mark.parametrize(
    "reference", ["sys:exit", "os.path:join", "math:cos", "json:loads", "json.decoder:JSONDecoder"]
)
def test_what_python_brings(reference: str) -> None:
    checked(reference)


def test_packages_that_build_their_path_cannot_be_told() -> None:
    written("__path__ = []", "pack/__init__.py")
    checked("pack.anything:f")


def test_no_source_cannot_be_told(tmp_path: Path) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    written(b"\x7fELF", f"compiled{suffix}")
    checked("compiled:f")
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("zipped.py", "")
    checked("zipped:f", archive)
    sys.path_importer_cache.pop(str(archive), None)


def test_a_broken_import_hook_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def find_spec(*_arguments: object) -> None:
            raise RuntimeError("broken hook")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    written("def f(trial): ...")
    checked("here:f")


def test_a_source_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    written("def f(trial): ...")
    monkeypatch.setattr(Path, "read_bytes", _forbidden)
    assert "here.py cannot be read: Permission denied" in refusal("here:f")


def _forbidden(_path: Path) -> bytes:
    raise PermissionError(13, os.strerror(13))


STATEMENTS = st.lists(
    st.sampled_from(
        ["def f(trial):", "    return 1", "f = 3", "if x:", "    f = 1", "import f", "(", "'''", "\0", "\t"]
    )
    | st.text(max_size=10),
    max_size=6,
).map("\n".join)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | STATEMENTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\xff")
def test_any_source_passes_or_is_bad_input(source: bytes) -> None:
    written(source, "fuzzed.py")
    try:
        check_objective("fuzzed:f")
    except BadInput as error:
        message = str(error)
        assert "fuzzed" in message
