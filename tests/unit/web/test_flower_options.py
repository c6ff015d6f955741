"""The options of Flower, and that it asks for a login by default."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
from flower import command, urls
from flower.views.monitor import Metrics
from flower.views.tasks import TASK_COLUMNS
from tornado.options import options

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import Settings
from orchestrator.web import flower
from orchestrator.web.credentials import GENERATED, PageOptions
from tests.servers import free_port


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Flower's options and addresses are its process's; here they are put back."""
    before = {name: option._value for name, option in options._options.items()}
    monkeypatch.setattr(urls, "handlers", urls.handlers)
    monkeypatch.setattr(command, "sigterm_handler", command.sigterm_handler)
    monkeypatch.chdir(tmp_path)
    routes = list(urls.handlers)
    heard = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in heard.items():
        signal.signal(number, handler)
    urls.handlers[:] = routes
    for name, value in before.items():
        options._options[name]._value = value


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """With which arguments Flower was started; here it is not."""
    calls: list[list[str]] = []
    monkeypatch.setattr(celery.Celery, "start", lambda _, argv: calls.append(argv))
    return calls


Options = tuple[PageOptions, tuple[str, ...]]


def wanted(*arguments: str, **changes: Any) -> Options:
    asked: dict[str, Any] = {"address": None, "port": free_port(), "no_auth": False, "insecure": False} | changes
    return PageOptions(**asked), arguments


def run(tmp_path: Path, what: Options, **settings: Any) -> str:
    said: list[str] = []
    flower.run(Settings(data_dir=tmp_path / "data", **settings), "redis://127.0.0.1:1/0", *what, said.append)
    (line,) = said
    return line


def refusal(tmp_path: Path, what: Options, **settings: Any) -> str:
    with pytest.raises(BadInput) as caught:
        run(tmp_path, what, **settings)
    return str(caught.value)


def test_a_password_is_made_and_asked_for(tmp_path: Path, started: list[list[str]]) -> None:
    line = run(tmp_path, wanted())
    file = tmp_path / "data" / GENERATED
    assert options.basic_auth == [file.read_text().strip()]
    assert line == f"Flower: http://127.0.0.1:{options.port}, user admin, the password is in {file}"
    (argv,) = started
    assert not any(options.basic_auth[0] in argument for argument in argv), "everybody can read a command line"
    assert (options.address, options.persistent) == ("127.0.0.1", True)
    assert Path(options.db).parent.is_dir()
    assert set(options.tasks_columns.split(",")) <= TASK_COLUMNS.keys()


def test_a_password_that_is_given_goes_before_flowers_own_settings(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "them:theirs")
    run(tmp_path, wanted(), flower_auth="me:mine,with:everything")
    assert options.basic_auth == ["me:mine,with:everything"]
    assert not (tmp_path / "data" / GENERATED).exists()
    run(tmp_path, wanted())
    assert options.basic_auth == ["them:theirs"]
    assert len(started) == 2


def test_what_flower_is_told_elsewhere_goes_before_the_defaults(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWER_TASKS_COLUMNS", "uuid")
    (tmp_path / "flowerconfig.py").write_text("max_tasks = 7\npersistent = True\n")
    run(tmp_path, wanted("--persistent=false"))
    assert (options.tasks_columns, options.max_tasks, options.persistent) == ("uuid", 7, False)
    assert started


def test_with_a_login_of_its_own_no_password_is_made(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWER_OAUTH2_SECRET", "hush")
    line = run(tmp_path, wanted("--auth=.*@example\\.com", "--oauth2-key=id", address="0.0.0.0"))
    assert options.basic_auth == []
    assert options.oauth2_secret == "hush"
    assert line.endswith("login as Flower's own options say")
    assert started
    assert not (tmp_path / "data" / GENERATED).exists()


def test_its_metrics_ask_for_the_login_too(tmp_path: Path, started: list[list[str]]) -> None:
    run(tmp_path, wanted())
    assert started
    served = {route[0]: route[1] for route in urls.handlers if isinstance(route, tuple)}
    assert served[r"/metrics"] is flower.GuardedMetrics
    assert Metrics not in served.values()


def test_without_a_login_only_this_machine_gets_in(tmp_path: Path, started: list[list[str]]) -> None:
    assert run(tmp_path, wanted(no_auth=True)).endswith("which asks for no password")
    assert options.basic_auth == []
    for changes in ({"address": "0.0.0.0"}, {"arguments": ("--address=0.0.0.0",)}):
        words = refusal(tmp_path, wanted(*changes.pop("arguments", ()), no_auth=True, **changes))
        assert "0.0.0.0" in words or "before the --" in words
    run(tmp_path, wanted(no_auth=True, insecure=True, address="0.0.0.0"))
    assert len(started) == 2
    assert refusal(tmp_path, wanted(insecure=True)) == "--insecure: means nothing without --no-auth; leave it out"
    words = refusal(tmp_path, wanted(no_auth=True), flower_auth="me:mine")
    assert words.startswith("--no-auth: contradicts settings that ask for a login")


def test_an_address_from_elsewhere_is_looked_at_too(
    tmp_path: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWER_ADDRESS", "0.0.0.0")
    assert "every machine that reaches '0.0.0.0' could get in" in refusal(tmp_path, wanted(no_auth=True))
    assert not started


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--basic_auth=me:mine", "--basic_auth: cannot be given here; set ORCHESTRATOR_FLOWER_AUTH"),
        ("--basic-auth=me:mine", "--basic_auth: cannot be given here"),
        ("--oauth2_secret=mine", "--oauth2_secret: cannot be given here; set FLOWER_OAUTH2_SECRET"),
        ("--cookie-secret=mine", "--cookie_secret: cannot be given here; set FLOWER_COOKIE_SECRET"),
        ("--port=1", "--port: cannot be given here; give --port before the --"),
        ("--max_taks=5", "--max_taks: Flower has no such option; did you mean 'max_tasks'?"),
        ("max_tasks=5", "'max_tasks=5': is not an option of Flower; write --name=value"),
        ("--max_tasks", "an option of Flower: Option 'max-tasks' requires a value"),
        ("--max_tasks=many", "an option of Flower: "),
        ("--conf=nowhere.py", "--conf: there is no file"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(
    tmp_path: Path, started: list[list[str]], argument: str, words: str
) -> None:
    message = refusal(tmp_path, wanted(argument))
    assert message.startswith(words)
    assert "mine" not in message
    assert not started
