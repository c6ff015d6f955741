"""The artifact store in the form that Optuna's tools take, on any file system that fsspec knows."""

from __future__ import annotations

import posixpath
import shutil
from typing import BinaryIO, cast

import fsspec
from optuna.artifacts.exceptions import ArtifactNotFound


class ArtifactStore:
    """Reads and writes the files of trials; Optuna's protocol of that name.

    Args:
        url: What ``ORCHESTRATOR_ARTIFACT_URL`` names: a folder, or a URL that fsspec knows.
    """

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        try:
            return cast(BinaryIO, self._files.open(self._path(artifact_id), "rb"))
        except FileNotFoundError:
            raise ArtifactNotFound(f"no artifact {artifact_id}") from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self._files.makedirs(self._root, exist_ok=True)
        with self._files.open(self._path(artifact_id), "wb") as file:
            shutil.copyfileobj(content_body, file)

    def remove(self, artifact_id: str) -> None:
        try:
            self._files.rm(self._path(artifact_id))
        except FileNotFoundError:
            raise ArtifactNotFound(f"no artifact {artifact_id}") from None

    def _path(self, artifact_id: str) -> str:
        if posixpath.basename(artifact_id) != artifact_id or artifact_id in ("", ".", ".."):
            raise ArtifactNotFound(f"'{artifact_id}' is not the id of an artifact")
        return posixpath.join(self._root, artifact_id)
