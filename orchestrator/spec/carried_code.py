"""Puts a code bundle into a spec: that of a function, or what its [code] table includes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from orchestrator.bundling.included_files import IncludedFiles
from orchestrator.bundling.own_modules import OwnModules
from orchestrator.common.errors import BadInput
from orchestrator.common.settings import Settings
from orchestrator.spec.code import CodeTable
from orchestrator.spec.model import Spec
from tasks.code_bundle import BadBundle, CodeBundle, make_bundle
from tasks.signing import Purpose

CODE_LIMIT = "ORCHESTRATOR_CODE_LIMIT"
_SHOWN = 3


def with_bundle(spec: Spec, bundle: CodeBundle, settings: Settings) -> Spec:
    """Returns the spec of a search that goes with a bundle, whose objective is its objective unless it runs a program.

    The bundle is signed with the first key of the settings, if they have any.

    Raises:
        BadInput: the bundle is larger than ``ORCHESTRATOR_CODE_LIMIT`` allows.
    """
    archive = bundle.pack()
    if len(archive) > settings.code_limit:
        largest = sorted(bundle.files, key=lambda file: -len(file.data))[:_SHOWN]
        names = ", ".join(f"{file.path} ({_size(len(file.data))})" for file in largest)
        problem = f"has {_size(len(archive))}, and {CODE_LIMIT} allows {_size(settings.code_limit)}"
        remedy = f"leave files out by [code] exclude, or raise {CODE_LIMIT}; the largest: {names}"
        raise BadInput(f"code of '{spec.name}'", problem, remedy)
    keyring = settings.keyring()
    author = keyring.sign(Purpose.AUTHOR, bundle.digest.encode()) if keyring else b""
    code = (spec.code or CodeTable()).carrying(bundle.digest, archive, author)
    objective = bundle.objective if spec.command is None else ""
    return spec.model_copy(update={"objective": objective, "code": code})


def import_folders(spec: Spec, base: Path) -> list[Path]:
    """Returns the folders in which the modules lie that a spec includes; none where it includes nothing.

    Args:
        spec: The search.
        base: Folder of the spec.

    Raises:
        BadInput: an entry names nothing, or leads out of the root.
    """
    if spec.code is None or not spec.code.include:
        return []
    found = _included(spec.code, base)
    return [_root(spec.code, base) / folder for folder in found.folders]


def with_included(spec: Spec, base: Path, search_path: Sequence[Path], settings: Settings) -> Spec:
    """Returns the spec with a bundle of what its [code] table includes; unchanged where it includes nothing.

    An objective's module, and the modules of the user's own that its import statements lead to, come along where the
    table does not name them. Of a program come the files that it names.

    Args:
        spec: The search.
        base: Folder of the spec.
        search_path: Folders in which the objective is found, beside those that are included.
        settings: Bounds the size, and has the key that signs.

    Raises:
        BadInput: an entry names nothing, or the bundle cannot be made.
    """
    if spec.code is None or not spec.code.include:
        return spec
    found = _included(spec.code, base)
    if spec.command is not None:
        return with_bundle(spec, _bundle(spec.reference, found.files, ("",)), settings)
    root = _root(spec.code, base)
    own = OwnModules(_WHERE, [*(str(root / folder) for folder in found.folders), *map(str, search_path)])
    own.add([spec.objective.partition(":")[0]])
    lies = {(root / name).resolve() for name in found.files}
    files = dict(found.files)
    for name, data in own.files.items():
        if own.paths[name].resolve() not in lies:
            files[name] = data
    return with_bundle(spec, _bundle(spec.objective, files, [*found.folders, ""]), settings)


def with_function(spec: Spec, bundle: CodeBundle, base: Path, settings: Settings) -> Spec:
    """Returns the spec of a function with its bundle, and with what the [code] table includes besides.

    Args:
        spec: The search.
        bundle: That of the function, whose files go first.
        base: Folder below which the table's files lie.
        settings: Bounds the size, and has the key that signs.

    Raises:
        BadInput: an entry names nothing, or the bundle cannot be made.
    """
    if spec.code is not None and spec.code.include:
        found = _included(spec.code, base)
        files = found.files | {file.path: file.data for file in bundle.files}
        bundle = _bundle(bundle.objective, files, [*bundle.paths, *found.folders])
    return with_bundle(spec, bundle, settings)


def _bundle(objective: str, files: Mapping[str, bytes], paths: Iterable[str]) -> CodeBundle:
    try:
        return make_bundle(objective, files.items(), paths)
    except BadBundle as error:
        raise BadInput(_WHERE, f"cannot be carried: {error}") from None


_WHERE = "code.include"


def _root(code: CodeTable, base: Path) -> Path:
    return (base / code.root).resolve()


def _included(code: CodeTable, base: Path) -> IncludedFiles:
    root = _root(code, base)
    if not root.is_dir():
        raise BadInput("code.root", f"there is no folder {root}", f"name one, relative to {base.resolve()}")
    found = IncludedFiles(_WHERE, root, code.exclude)
    found.add(code.include)
    return found


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{max(1, count // 1024)} KiB"
