"""The login of a page: configured, generated, and required of other machines."""

from __future__ import annotations

import os
import socket
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.web.credentials import GENERATED, PageOptions, check_free, choose, configured, generated

NAME = "ORCHESTRATOR_FLOWER_AUTH"


def test_what_is_given_is_asked_for(tmp_path: Path) -> None:
    assert configured(NAME, "", "") is None
    found = configured(NAME, "me:pass:word,", "")
    assert found is not None
    assert (found.user, found.password, found.credentials) == ("me", "pass:word,", "me:pass:word,")
    assert "pass:word" not in repr(found)
    assert found.describe(openly=True) == f"user me, the password is in {NAME}"
    file = tmp_path / "hush"
    file.write_text("me:other\n")
    found = configured(NAME, "", str(file))
    assert found is not None
    assert found.credentials == "me:other"
    assert found.describe(openly=True) == f"user me, the password is in {file}"


@pytest.mark.parametrize(
    ("value", "content", "words"),
    [
        ("hush", None, "holds no user and password; write user:password"),
        (":hush", None, "holds no user and password"),
        ("hush:", None, "holds no user and password"),
        ("me:hüsh", None, "characters that a browser may not send"),
        ("me:a hush", None, "characters that a browser may not send"),
        ("me:hush", "me:hush", f"stands beside {NAME}; give one of them"),
        ("", "hush", "holds no user and password"),
        ("", "", "names an empty file"),
        ("", "me:hush\nyou:hush", "characters that a browser may not send"),
    ],
)
def test_what_is_no_user_and_password_is_refused_and_not_shown(
    tmp_path: Path, value: str, content: str | None, words: str
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadInput) as caught:
        configured(NAME, value, "" if content is None else str(file))
    message = str(caught.value)
    assert message.startswith(NAME)
    assert words in message
    assert "hush" not in message
    assert "hüsh" not in message


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"{NAME}_FILE: cannot be read: No such file or directory; name a file"):
        configured(NAME, "", str(tmp_path / "none"))


def test_a_password_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first, second = generated(folder), generated(folder)
    assert first == second
    assert len(first.password) >= 20
    path = folder / GENERATED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() == first.credentials
    assert [each.name for each in folder.iterdir()] == [GENERATED]
    # On a terminal it is of use, and of a log that others may read it stays out.
    assert first.password in first.describe(openly=True)
    assert first.password not in first.describe(openly=False)
    assert str(path) in first.describe(openly=False)
    assert generated(tmp_path / "other").password != first.password


def test_those_that_start_together_ask_for_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        found.append(generated(tmp_path).credentials)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_password_that_others_can_read_is_none(tmp_path: Path) -> None:
    generated(tmp_path)
    os.chmod(tmp_path / GENERATED, 0o644)
    with pytest.raises(BadInput, match="can be read by others; chmod 600"):
        generated(tmp_path)


HERE = ("127.0.0.1", "127.9.9.9", "::1", "localhost")
ELSEWHERE = ("0.0.0.0", "", "::", "10.0.0.1", "localhost.example.com")


@pytest.mark.parametrize("address", [*HERE, *ELSEWHERE])
def test_without_a_password_only_this_machine_gets_in(tmp_path: Path, address: str) -> None:
    open_page = PageOptions(address, None, no_auth=True, insecure=False)
    assert choose(None, replace(open_page, insecure=True), tmp_path, address) is None
    if address in HERE:
        assert choose(None, open_page, tmp_path, address) is None
        return
    with pytest.raises(BadInput, match=rf"^--no-auth: every machine that reaches '{address}' could get in; leave it"):
        choose(None, open_page, tmp_path, address)


def test_a_folder_that_keeps_no_password_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(BadInput, match="a password cannot be kept there: Operation not permitted; set one"):
        generated(tmp_path)


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=rf"127.0.0.1:{port}: nothing can listen there: Address already in use"):
            check_free("127.0.0.1", port, "--host")
    check_free("127.0.0.1", port, "--host")
    with pytest.raises(BadInput, match=r"nothing can listen there: .*; choose another --port or --host"):
        check_free("no.such.host.invalid", port, "--host")
