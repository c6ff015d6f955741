"""Writes the code bundles of a study out as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.common.errors import BadInput, reason_of
from orchestrator.storage.code_table import KeptCode
from tasks.code_bundle import BadBundle, CodeBundle, unpack


def find_bundle(found: Sequence[KeptCode], study: str, digest: str) -> CodeBundle:
    """Returns one of a study's bundles.

    Args:
        found: Those that it has.
        study: Its name.
        digest: The one that is wanted; empty for the newest.

    Raises:
        BadInput: there is no such bundle, or it cannot be read.
    """
    where = f"study '{study}'"
    if not found:
        raise BadInput(where, "keeps no code: its workers import the objective", "[code] include would send it")
    kept = found[-1] if not digest else next((each for each in found if each.digest == digest), None)
    if kept is None:
        problem = f"keeps no code with the digest {digest[:12]}" if digest else "keeps no code"
        raise BadInput(where, problem, "its bundles: " + ", ".join(each.digest[:12] for each in found))
    try:
        return unpack(kept.message.archive, kept.digest)
    except BadBundle as error:
        raise BadInput(where, f"its code cannot be read: {error}") from None


def write_bundle(bundle: CodeBundle, folder: Path) -> list[Path]:
    """Writes the files of a bundle into a folder that is empty or new; returns their paths.

    Raises:
        BadInput: something is in the folder, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BadInput(str(folder), "is not empty, and no file is overwritten", "name a new folder")
        paths = []
        for file in bundle.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as written:
                written.write(file.data)
            paths.append(path)
    except OSError as error:
        raise BadInput(str(folder), f"cannot be written: {reason_of(error)}", "name another folder") from None
    return paths
