"""The objectives that a worker admits: any client of the queue can name one, the worker's owner decides.

A reference is checked twice: by its name, before the import, because an import runs code; and by what it resolves to,
because a module may hold names that were defined elsewhere (``from os import system``).
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

from tasks.code_bundle import BUNDLE, shown_reference, split_reference
from tasks.code_path import REMEDY, name_conflict
from tasks.metrics_endpoint import BadSetting
from tasks.objective_path import OBJECTIVE_PATH, OBJECTIVES_OF_OURS, code_folders, is_ours, within
from tasks.program.command import OBJECTIVE as PROGRAM_OBJECTIVE

OBJECTIVES = "ORCHESTRATOR_OBJECTIVES"
"""Variable with the list of admitted objectives."""

EVERYTHING = "*"
EVERY_BUNDLE = f"{BUNDLE}:*"
_MOST_WRAPPED = 100


def split_list(text: str) -> tuple[str, ...]:
    """Returns the entries of the list: names of modules, references (``module:function``), or ``*``.

    Raises:
        BadSetting: an entry is none of these.
    """
    entries = tuple(re.split(r"[\s,]+", text.strip(" \t\r\n,"))) if text.strip(" \t\r\n,") else ()
    for entry in entries:
        if entry not in (EVERYTHING, EVERY_BUNDLE) and not all(_is_dotted(part) for part in entry.split(":", 1)):
            remedy = "write names of modules, separated by commas, or * for everything"
            if entry.endswith(".*"):
                remedy = f"write '{entry[:-2]}', which admits all below it"
            raise BadSetting(OBJECTIVES, f"'{entry:.100}' is neither a module's name nor module:function nor *", remedy)
    return entries


@dataclass(frozen=True)
class Allowlist:
    """The objectives that one worker admits.

    Attributes:
        entries: Entries of the list. A module's name admits that module and those below it; a reference admits this one
            objective, wherever it is defined. ``bundle:*`` admits code that is sent, ``bundle:NAME`` what was signed
            with the key of that name; ``*`` admits neither.
        folders: Without a list, modules in these folders are admitted, and the ready objectives.
        named: References that the worker's owner has named beside the list.
    """

    entries: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    named: tuple[str, ...] = ()
    # A module that was found is not searched again; after its import its own file is checked.
    _found: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, environ: Mapping[str, str], *named: str) -> Allowlist:
        """Reads the list and the folders from the environment. Raises BadSetting."""
        entries = split_list(environ.get(OBJECTIVES, ""))
        return cls(entries, code_folders(environ.get(OBJECTIVE_PATH, "")), tuple(filter(None, named)))

    def refuse(self, reference: str) -> str:
        """Returns in one line why ``reference`` must not be imported, or nothing. Imports nothing itself."""
        if split_reference(reference) is not None:
            has = f"; it admits {OBJECTIVES}={','.join(self.entries)}" if self.entries else ""
            refused = f"{shown_reference(reference)}: {_NO_BUNDLES}{has}"
            return "" if reference in self.named or self.bundles else refused
        module, _, attribute = reference.partition(":")
        if problem := name_conflict(module, self.folders):
            return f"{reference:.200}: {problem}; {REMEDY}"
        if self._by_name(reference):
            return ""
        if not (_is_dotted(module) and _is_dotted(attribute)):
            return f"{reference:.200}: not module:function, dotted names without double underscores"
        if self.entries:
            admitted = any(within(module, entry) for entry in self.entries)
        else:
            admitted = within(module, OBJECTIVES_OF_OURS) or self._finds(module)
        return "" if admitted else f"{reference:.200}: this worker does not admit '{module:.200}'; {self._rule(module)}"

    def refuse_signed(self, reference: str, signers: Sequence[str]) -> str:
        """Returns in one line why a bundle must not be run that these keys have signed, or nothing."""
        if (
            reference in self.named
            or EVERY_BUNDLE in self.bundles
            or any(f"{BUNDLE}:{name}" in self.bundles for name in signers if name)
        ):
            return ""
        by = f"is signed with the key '{signers[0]}'" if any(signers) else "is signed with no key that has a name"
        return f"{shown_reference(reference)}: it {by}; this worker admits {OBJECTIVES}={','.join(self.entries)}"

    @property
    def bundles(self) -> tuple[str, ...]:
        """The entries that admit code bundles."""
        return tuple(entry for entry in self.entries if entry.startswith(f"{BUNDLE}:"))

    def resolve(self, reference: str, module: ModuleType) -> Any:
        """Returns the object of the reference's attribute, ``None`` where there is none.

        Raises:
            NotAdmitted: it leads through, or to, what is not admitted.
        """
        attribute = reference.partition(":")[2]
        found: Any = module
        if self._by_name(reference):
            for part in attribute.split("."):
                found = getattr(found, part, None)
            return found
        for part in attribute.split("."):
            # Access to an attribute may run code, too: of a property, or of the module.
            home = _home(found)
            if not self._admits(home):
                raise NotAdmitted(f"{reference}: it leads through '{home}'; {self._rule(home)}")
            found = getattr(found, part, None)
        if found is not None and callable(found):
            self._check_callable(reference, found)
        return found

    def _by_name(self, reference: str) -> bool:
        # Programs have a list of their own.
        named = (*self.entries, *self.named, PROGRAM_OBJECTIVE)
        return EVERYTHING in self.entries or reference in named

    def _check_callable(self, reference: str, found: Any) -> None:
        if isinstance(found, type):
            raise NotAdmitted(f"{reference}: it is a class; name a function, or an instance that can be called")
        for home in _homes(found):
            if not self._admits(home):
                remedy = "" if home else "wrap it in a function of your own; "
                where = f"'{home}'" if home else "no module that can be told"
                raise NotAdmitted(f"{reference}: it is defined in {where}; {remedy}{self._rule(home)}")

    def _admits(self, module: str) -> bool:
        """Whether objects of an imported module may be run."""
        if self.entries:
            return any(within(module, entry) for entry in self.entries)
        if within(module, OBJECTIVES_OF_OURS):
            return True
        found = sys.modules.get(module)
        file = getattr(found, "__file__", None)
        # A folder without an __init__.py has no file, and defines nothing.
        places = [file] if file else list(getattr(found, "__path__", ()))
        return bool(places) and _is_the_users(module) and any(self._is_found_at(module, place) for place in places)

    def _finds(self, module: str) -> bool:
        """Whether an import would find the module in one of the folders."""
        if module in self._found:
            return True
        if not _is_the_users(module):
            return False
        importlib.invalidate_caches()
        path = [*map(str, self.folders), *sys.path]
        name = ""
        for part in module.split("."):
            name = f"{name}.{part}" if name else part
            # By its last part alone: for the whole name its parents would have to be imported.
            spec = PathFinder.find_spec(part, path)
            if spec is None:
                return False
            path = list(spec.submodule_search_locations or ())
            places = [spec.origin] if spec.origin else path
            if not any(self._is_found_at(name, place) for place in places):
                return False
        self._found.add(module)
        return True

    def _is_found_at(self, module: str, place: str) -> bool:
        """Whether ``place`` is the file of the module in one of the folders.

        A file anywhere below a folder is not enough: the working directory may hold installed packages.
        """
        for folder in self.folders:
            whole = str(folder.joinpath(*module.split(".")))
            if place == whole or place.startswith((f"{whole}.", f"{whole}{os.sep}__init__.")):
                return True
        return False

    def _rule(self, module: str) -> str:
        if self.entries:
            return f"it admits {OBJECTIVES}={','.join(self.entries)}: add '{module:.200}' there to admit it"
        places = ", ".join(f"'{folder}'" for folder in self.folders)
        return (
            f"{OBJECTIVES} is not set, which admits {OBJECTIVES_OF_OURS} and modules found in {places}: "
            f"list '{module:.200}' there, or add its folder to {OBJECTIVE_PATH}, to admit it"
        )


_NO_BUNDLES = (
    "this worker runs no code that is sent to it; to admit all of it, add bundle:* to ORCHESTRATOR_OBJECTIVES, or "
    "bundle:NAME for what was signed with the key of that name"
)


class NotAdmitted(Exception):
    """The objective was found, and is not admitted here; the message is one line."""


ALLOW_ALL = Allowlist((EVERYTHING,))


def _is_dotted(text: str) -> bool:
    """Whether the text is a dotted name, none of whose parts is one of Python's own such as ``__globals__``."""
    return all(part.isidentifier() and not part.startswith("__") for part in text.split("."))


def _is_the_users(module: str) -> bool:
    return not is_ours(module) and module.partition(".")[0] not in sys.stdlib_module_names


def _home(holder: object) -> str:
    """Returns the module whose code runs at an access to an attribute of ``holder``."""
    if isinstance(holder, ModuleType):
        return holder.__name__
    return str((holder if isinstance(holder, type) else type(holder)).__module__)


def _homes(found: Any) -> list[str]:
    """Returns the modules of the code that a call runs; an empty name where it cannot be found.

    A decorator of another package is the user's choice: by ``functools.wraps`` its wrapper has the module of the
    wrapped function, which is checked as well.
    """
    homes = []
    for _ in range(_MOST_WRAPPED):
        if isinstance(found, functools.partial):
            found = found.func
        elif isinstance(found, MethodType):
            homes.append(_home(found.__self__))
            found = found.__func__
        elif isinstance(found, FunctionType) or _wraps(found):
            homes.append(str(getattr(found, "__module__", None) or ""))
            wrapped = getattr(found, "__wrapped__", None)
            if wrapped is None:
                # ``__module__`` can be set; the globals of a function cannot.
                homes.append(str(found.__globals__.get("__name__", "")))
                return homes
            found = wrapped
        else:
            return [*homes, *_homes_of_instance(found)]
    return [*homes, ""]


def _wraps(found: object) -> bool:
    """Whether it is a wrapper that is no function, such as one of ``functools.lru_cache``."""
    return not isinstance(found, type) and callable(getattr(found, "__wrapped__", None))


def _homes_of_instance(found: object) -> list[str]:
    call = next((kind.__dict__["__call__"] for kind in type(found).__mro__ if "__call__" in kind.__dict__), None)
    if isinstance(call, FunctionType):
        return [str(type(found).__module__), *_homes(call)]
    return [""]
