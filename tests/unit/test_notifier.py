"""Notes on their way: signed, tried again, given up, overtaken; commands with their limits. Against a real server."""

from __future__ import annotations

import json
import logging
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.changes import NoteRow
from orchestrator.errors import BadInput
from orchestrator.notify import command as commands
from orchestrator.notify import notifier as notifiers
from orchestrator.notify import post as posts
from orchestrator.notify.notifier import Notifier
from orchestrator.notify.policy import Policy, policy_of
from orchestrator.notify.post import SIGNATURE, post, sign
from orchestrator.ports import NoteState, Owed
from orchestrator.settings import load_settings
from orchestrator.spec.model import validate
from orchestrator.spec.notify import NotifyTable
from tests.hook import Posted, hook

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "LONGEST_PAUSE", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def notifying(policy: Policy | None = None, environ: dict[str, str] | None = None) -> Iterator[Notifier]:
    made = Notifier(policy or Policy(key="k"), environ or {})
    try:
        yield made
    finally:
        made.close()


def owed(url: str, event: str = "finished", key: str = "uid:1", study: str = "s", **changes: Any) -> Owed:
    note = NoteRow(key, event, "post", json.dumps({"id": key}), changes.pop("at", time.time()))
    return Owed(study, note, NotifyTable(url=url), **changes)


def a_command(*words: str, study: str = "s", **changes: Any) -> Owed:
    note = NoteRow("uid:1:command", "finished", "command", '{"id": "uid:1"}', time.time())
    return Owed(study, note, NotifyTable(command=words), **changes)


class Settled:
    """What has become of notes so far, as the loop would learn it."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self.all: list[tuple[str, NoteState]] = []

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        pause = threading.Event()
        while True:
            self.all += self._notifier.take_settled().items()
            if condition():
                return
            assert time.monotonic() < deadline, self.all
            pause.wait(0.005)

    def last(self, key: str) -> NoteState:
        """Waits until nothing more becomes of a note; returns what has."""
        self.wait(lambda: any(each == key and state.state != "owed" for each, state in self.all))
        return next(state for each, state in reversed(self.all) if each == key)


# -- one POST -------------------------------------------------------------------------------------------------------


def verified(posted: Posted, key: str) -> bool:
    at, mark = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", posted.headers[SIGNATURE]).groups()  # type: ignore[union-attr]
    return sign(key, posted.body, int(at)) == f"t={at},v1={mark}"


def test_a_note_is_posted_as_json_and_signed() -> None:
    with hook() as it, notifying() as notifier:
        notifier.owe([owed(it.url)])
        (posted,) = it.wait(1)
        assert Settled(notifier).last("uid:1")[:3] == ("delivered", 1, "HTTP 204")
    assert posted.path == "/services/T0/hush-hush"
    assert posted.body == b'{"id": "uid:1"}'
    assert posted.headers["Content-Type"] == "application/json"
    assert posted.headers["X-Orchestrator-Event"] == "finished"
    assert posted.headers["X-Orchestrator-Delivery"] == "uid:1"
    assert verified(posted, "k")
    assert not verified(posted, "another")


def test_without_a_key_there_is_no_signature() -> None:
    with hook() as it:
        assert post(it.url, b"{}", {}).done
        assert SIGNATURE not in it.wait(1)[0].headers


@pytest.mark.parametrize(
    ("status", "again"),
    [
        *(
            (200, False),
            (299, False),
            (301, False),
            (307, False),
            (400, False),
            (401, False),
            (404, False),
            (410, False),
        ),
        *((408, True), (425, True), (429, True), (500, True), (503, True), (599, True)),
    ],
)
def test_what_an_answer_means(status: int, again: bool) -> None:
    with hook([status], {"Location": "/elsewhere"}) as it:
        tried = post(it.url, b"{}", {})
        assert (tried.done, tried.again) == (status < 300, again)
        assert f"HTTP {status}" in tried.detail
        assert len(it.posted) == 1, "a redirect was followed"


def test_nobody_there() -> None:
    with hook() as it:
        url = it.url
    tried = post(url, b"{}", {})
    assert (tried.done, tried.again) == (False, True)
    assert "refused" in tried.detail
    tried = post("http://no-such-host.invalid/hush", b"{}", {})
    assert (tried.done, tried.again) == (False, True)
    assert "hush" not in tried.detail


@contextmanager
def odd_server(answer: bytes) -> Iterator[str]:
    """Answers with these bytes; with none it never does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                if answer:
                    connection.sendall(answer)
                else:
                    done.wait(PATIENCE)

        done = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hush"
        done.set()
        thread.join()


def test_whoever_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts, "PATIENCE", 0.1)
    with odd_server(b"") as url:
        assert post(url, b"{}", {}) == (False, True, "no answer in 0.1 s")
    with odd_server(b"220 mail ready\r\n") as url:
        tried = post(url, b"{}", {})
        assert (tried.done, tried.again, tried.detail) == (False, True, "BadStatusLine")


class Connected:
    """A socket that is connected to an address."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.closed = False

    def getpeername(self) -> tuple[str, int]:
        return self._address, 80

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254"])
def test_nothing_is_posted_to_what_a_cloud_keeps_beside_each_machine(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Connected(address)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: made)
    made.setsockopt = lambda *_: None  # type: ignore[attr-defined]
    tried = post("http://harmless.example.org/", b"{}", {})
    assert (tried.done, tried.again) == (False, False)
    assert "link-local" in tried.detail
    assert made.closed


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*made, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with hook() as it:
        it.server.socket = context.wrap_socket(it.server.socket, server_side=True)
        tried = post(it.url.replace("http:", "https:"), b"{}", {})
        assert (tried.done, tried.again) == (False, True)
        assert "certificate is not trusted: self-signed certificate" in tried.detail
        assert it.posted == []


# -- until it is taken ------------------------------------------------------------------------------------------------


def test_a_note_is_posted_until_it_is_taken() -> None:
    with hook([500, 503]) as it, notifying() as notifier:
        settled = Settled(notifier)
        notifier.owe([owed(it.url)])
        assert settled.last("uid:1")[:3] == ("delivered", 3, "HTTP 204")
    assert [(state.state, state.tries) for _, state in settled.all][-1] == ("delivered", 3)
    assert {(each.body, each.headers["X-Orchestrator-Delivery"]) for each in it.posted} == {
        (b'{"id": "uid:1"}', "uid:1")
    }


def test_it_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "LONGEST_PAUSE", 900.0)
    now = time.monotonic()
    made = Notifier(Policy(), {})
    monkeypatch.setattr(made._posts, "add", lambda owed, due=0.0: added.append((owed.tries, due - now)))
    added: list[tuple[int, float]] = []
    for tries in (0, 1, 2, 9, 10, 5_000):
        made._take_in(made._posts, owed("http://h/", tries=tries), posts.Tried(False, True, "HTTP 500"))
    assert [(tries, round(pause)) for tries, pause in added] == [
        *((1, 1), (2, 2), (3, 4), (10, 512)),
        *((11, 900), (5_001, 900)),
    ]


def test_a_note_that_is_a_day_old_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with hook([500]) as it, notifying() as notifier, caplog.at_level(logging.WARNING):
        notifier.owe([owed(it.url, at=time.time() - 86_400)])
        assert Settled(notifier).last("uid:1")[:3] == ("failed", 1, "HTTP 500")
    (record,) = caplog.records
    assert (record.__dict__["action"], record.__dict__["study"]) == ("note_failed", "s")
    assert "hush" not in record.getMessage()


def test_what_makes_no_sense_to_be_tried_again_is_not() -> None:
    with hook([404]) as it, notifying() as notifier:
        notifier.owe([owed(it.url)])
        assert Settled(notifier).last("uid:1")[:3] == ("failed", 1, "HTTP 404")
        assert len(it.posted) == 1


def test_one_study_that_cannot_be_told_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "CLOSE_SECONDS", 0.0)
    with odd_server(b"") as silent, hook() as it, notifying() as notifier:
        notifier.owe([owed(silent, key="a")])
        notifier.owe([owed(it.url, key="b", study="other")])
        assert Settled(notifier).last("b").state == "delivered"


# -- better trials ----------------------------------------------------------------------------------------------------


def test_of_better_trials_in_quick_succession_the_last_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "BEST_SECONDS", 0.2)
    with hook() as it, notifying() as notifier:
        settled = Settled(notifier)
        notifier.owe([owed(it.url, "best", "best:0")])
        it.wait(1)
        for number in (1, 2, 3):
            notifier.owe([owed(it.url, "best", f"best:{number}")])
        notifier.owe([owed(it.url, "best", "other:0", study="other")])
        for number, state in enumerate(("delivered", "superseded", "superseded", "delivered")):
            assert settled.last(f"best:{number}").state == state
        assert settled.last("other:0").state == "delivered"
        delivered = [each.headers["X-Orchestrator-Delivery"] for each in it.posted]
        assert delivered == ["best:0", "other:0", "best:3"]


def test_the_end_overtakes_what_came_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "BEST_SECONDS", 3_600.0)
    with hook([204]) as it, notifying() as notifier:
        settled = Settled(notifier)
        notifier.owe([owed(it.url, "best", "best:0")])
        it.wait(1)
        notifier.owe([owed(it.url, "best", "best:1"), owed(it.url, "finished", "end")])
        assert settled.last("best:1").state == "superseded"
        assert settled.last("end").state == "delivered"
        assert len(it.posted) == 2


def test_a_better_trial_that_could_not_be_told_in_time_is_not_told_late() -> None:
    with hook([500]) as it, notifying() as notifier:
        first, later = owed(it.url, "best", "best:0"), owed(it.url, "finished", "end")
        notifier._newest["s"] = later.note.key
        notifier._posts.add(first)
        assert Settled(notifier).last("best:0").state == "superseded"


# -- the end ----------------------------------------------------------------------------------------------------------


def test_what_is_not_told_at_the_end_stays_owed() -> None:
    with hook() as it:
        notifier = Notifier(Policy(), {})
        notifier.close()
        notifier.owe([owed(it.url)])
        notifier.close()
        assert notifier.take_settled() == {}
        assert it.posted == []


# -- commands ---------------------------------------------------------------------------------------------------------

ALLOWED = Policy(commands=True)


def test_a_command_is_given_the_note_and_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "ORCHESTRATOR_STORAGE_URL": "postgresql://u:hush@h/d"}
    with notifying(ALLOWED, environ | {"AWS_SECRET": "hush", "PGPASSWORD": "hush"}) as notifier:
        script = f'cat; echo; env; echo "$0" > {tmp_path}/zero'
        with caplog.at_level(logging.INFO):
            notifier.owe([a_command("sh", "-c", script, "an argument; with $HOME")])
            assert Settled(notifier).last("uid:1:command")[:3] == ("delivered", 1, "ended with exit code 0")
    (record,) = [each for each in caplog.records if each.__dict__.get("action") == "notify_command"]
    output = record.getMessage().splitlines()
    assert output[0] == "study s: command 'sh' ended with exit code 0:"
    assert output[1] == '{"id": "uid:1"}'
    given = dict(line.split("=", 1) for line in output[2:])
    assert {"ORCHESTRATOR_STUDY", "ORCHESTRATOR_EVENT", "PATH", "LC_ALL"} <= given.keys()
    assert given["ORCHESTRATOR_STUDY"] == "s"
    assert "hush" not in record.getMessage()
    assert (tmp_path / "zero").read_text() == "an argument; with $HOME\n", "no shell has read it"


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        (("sh", "-c", "exit 3"), "ended with exit code 3"),
        (("sh", "-c", "kill -9 $$"), "was ended by signal 9"),
        (("no-such-program",), "cannot be started: No such file or directory"),
    ],
)
def test_a_command_is_run_once(words: tuple[str, ...], detail: str) -> None:
    with notifying(ALLOWED, {"PATH": "/usr/bin:/bin"}) as notifier:
        notifier.owe([a_command(*words)])
        assert Settled(notifier).last("uid:1:command")[:3] == ("failed", 1, detail)


def test_a_command_has_so_much_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "LIMIT", 0.3)
    child = tmp_path / "child"
    with notifying(ALLOWED, {"PATH": "/usr/bin:/bin"}) as notifier:
        notifier.owe([a_command("sh", "-c", f"sleep 600 & echo $! > {child}; wait")])
        assert Settled(notifier).last("uid:1:command")[:3] == ("failed", 1, "took longer than 0.3 s and was ended")
    assert _is_gone(int(child.read_text()))


def test_of_its_output_the_end_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    with notifying(ALLOWED, {"PATH": "/usr/bin:/bin"}) as notifier, caplog.at_level(logging.INFO):
        notifier.owe([a_command("sh", "-c", "yes x | head -c 1000000; echo the end")])
        Settled(notifier).last("uid:1:command")
    (record,) = [each for each in caplog.records if each.__dict__.get("action") == "notify_command"]
    assert record.getMessage().endswith("the end")
    assert len(record.getMessage()) < 5_000


def test_a_command_that_is_cut_off_by_the_end_stays_owed(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    notifier = Notifier(ALLOWED, {"PATH": "/usr/bin:/bin"})
    notifier.owe([a_command("sh", "-c", f"echo $$ > {begun}.new; mv {begun}.new {begun}; sleep 600")])
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not begun.exists():
        assert time.monotonic() < deadline
        pause.wait(0.005)
    notifier.close()
    assert [state.state for state in notifier.take_settled().values()] == ["owed"]
    assert _is_gone(int(begun.read_text()))


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        pause.wait(0.005)
    return False


# -- what is allowed --------------------------------------------------------------------------------------------------


def test_commands_are_run_where_that_is_said() -> None:
    for policy, runs in ((Policy(), False), (Policy(commands_of="s"), True), (Policy(commands_of="t"), False)):
        with notifying(policy, {"PATH": "/usr/bin:/bin"}) as notifier:
            notifier.owe([a_command("true")])
            found = Settled(notifier).last("uid:1:command")
            assert found.state == ("delivered" if runs else "failed")
            assert runs or "runs no commands" in found.detail


def spec(**notify: Any) -> Any:
    return validate({"name": "s", "objective": "m:f", "trials": 1, "notify": notify}, "test")


def test_a_spec_that_nobody_could_serve_is_refused() -> None:
    Policy().check(spec(url="https://h/x"))
    Policy(urls={"team": "https://h/x"}).check(spec(endpoint="team"))
    Policy(commands_of="s").check(spec(command=["x"]))
    for policy, notify, words in (
        (
            Policy(),
            {"command": ["x"]},
            "notify.command: this control plane runs no commands of specs; take it out, or set",
        ),
        (Policy(), {"endpoint": "team"}, "knows no endpoint 'team'; name it in ORCHESTRATOR_NOTIFY_URLS"),
        (Policy(urls={"team": "u"}), {"endpoint": "teem"}, "knows no endpoint 'teem'; did you mean 'team'?"),
    ):
        with pytest.raises(BadInput) as caught:
            policy.check(spec(**notify))
        assert words in str(caught.value)


def test_an_endpoint_is_found_by_its_name() -> None:
    with hook() as it, notifying(Policy(urls={"team": it.url})) as notifier:
        settled = Settled(notifier)
        for endpoint in ("team", "gone"):
            note = NoteRow(endpoint, "finished", "post", "{}", time.time())
            notifier.owe([Owed("s", note, NotifyTable(endpoint=endpoint))])
        assert settled.last("team").state == "delivered"
        assert settled.last("gone")[:3] == ("failed", 1, "there is no endpoint 'gone'")


def settings(**variables: str) -> Policy:
    return policy_of(load_settings({f"ORCHESTRATOR_NOTIFY_{name}": value for name, value in variables.items()}))


def test_the_settings_say_what_is_allowed(tmp_path: Path) -> None:
    assert settings() == Policy()
    found = settings(URLS="team=https://h/a?b=c  ops=http://i/", KEY="k", COMMANDS="1")
    assert found == Policy({"team": "https://h/a?b=c", "ops": "http://i/"}, "k", commands=True)
    file, key = tmp_path / "urls", tmp_path / "key"
    file.write_text("# who is told\nteam=https://h/hush\n\n  # and\n ops=https://h/hush\n")
    key.write_text("hush\n")
    found = settings(URLS_FILE=str(file), KEY_FILE=str(key), COMMANDS="0")
    assert (sorted(found.urls), found.key, found.commands) == (["ops", "team"], "hush", False)
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"URLS": "https://h/hush"}, "NOTIFY_URLS: holds something that is no name=url; write team=https://"),
        ({"URLS": "https://h/hush?a=b"}, "NOTIFY_URLS: holds something that is no name=url"),
        ({"URLS": "team = https://h/hush"}, "NOTIFY_URLS: holds something that is no name=url"),
        ({"URLS": "team=h/hush"}, "NOTIFY_URLS: 'team' is not a URL of http or https"),
        ({"URLS": "a=https://h/hush a=https://h/hush"}, "NOTIFY_URLS: names 'a' twice"),
        ({"URLS": "é=https://h/hush"}, "NOTIFY_URLS: cannot be 'é'"),
        ({"URLS_FILE": "/nowhere"}, "NOTIFY_URLS_FILE: cannot be read: No such file"),
        ({"KEY": "hush", "KEY_FILE": "/nowhere"}, "NOTIFY_KEY_FILE: stands beside ORCHESTRATOR_NOTIFY_KEY"),
        ({"COMMANDS": "perhaps"}, "NOTIFY_COMMANDS: is 'perhaps'; it must be 1 or 0"),
    ],
)
def test_settings_that_are_wrong_are_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        settings(**variables)
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)


# -- the page about it ------------------------------------------------------------------------------------------------


def test_the_page_shows_how_a_signature_is_checked() -> None:
    page = (ROOT / "docs" / "notifications.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "notifications.md", "exec"), names)
    is_genuine = names["is_genuine"]
    now, body = int(time.time()), b'{"id": "uid:1"}'
    assert is_genuine("k", sign("k", body, now), body)
    assert not is_genuine("k", sign("k", body, now), body + b" ")
    assert not is_genuine("k", sign("j", body, now), body)
    assert not is_genuine("k", sign("k", body, now - 3_600), body), "it may have been recorded"
    for header in ("", "t=1", "v1=abc", f"t={now}", "t=x,v1=y", "nonsense"):
        assert not is_genuine("k", header, body)
    with hook() as it:
        assert post(it.url, body, {}, "k").done
        (posted,) = it.wait(1)
    assert is_genuine("k", posted.headers[SIGNATURE], posted.body)
