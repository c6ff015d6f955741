"""Where metrics are shown: in the text format, with a password where one is set; and which settings are refused."""

from __future__ import annotations

import base64
import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.metrics_endpoint import BadSetting, Endpoint, endpoint_of
from tasks.metrics_server import MetricsServer, make_registry
from tests.servers import free_port


@contextlib.contextmanager
def exposed(password: str = "") -> Iterator[str]:
    made = MetricsServer(Endpoint(free_port(), password=password), make_registry())
    made.start()
    yield f"http://127.0.0.1:{made.port}/metrics"
    made.close()


def ask(url: str, credentials: bytes | None = None, scheme: str = "Basic") -> tuple[int, str]:
    headers = {} if credentials is None else {"Authorization": f"{scheme} {base64.b64encode(credentials).decode()}"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_are_shown_in_the_text_format() -> None:
    with exposed() as url:
        status, text = ask(url)
        assert status == 200
        assert {family.name for family in text_string_to_metric_families(text)} >= {"process_cpu_seconds"}
        assert ask(url.replace("/metrics", "/etc/passwd"))[0] == 404
    with pytest.raises(urllib.error.URLError):
        ask(url)


def test_the_password_is_wanted() -> None:
    with exposed("hush ü") as url:
        for credentials in (None, b"", b"x:", b"x:hush", b"hush \xc3\xbc", b"\xff:\xff"):
            assert ask(url, credentials)[0] == 401, credentials
        assert ask(url, b"x:hush \xc3\xbc", "Bearer")[0] == 401
        assert ask(url, b"any:hush \xc3\xbc")[0] == 200


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PORT": "x"}, "METRICS_PORT: is 'x'; it must be a port"),
        ({"PORT": "70000"}, "METRICS_PORT: is 70000; it must be a port"),
        ({"PORT": "-1"}, "METRICS_PORT: is '-1'"),
        ({"PORT": "9", "ADDRESS": "0.0.0.0"}, "METRICS_ADDRESS: '0.0.0.0' can be reached from elsewhere"),
        ({"PORT": "9", "ADDRESS": "::"}, "METRICS_ADDRESS: '::' can be reached from elsewhere"),
        ({"PORT": "9", "ADDRESS": "example.org"}, "set ORCHESTRATOR_METRICS_PASSWORD or"),
        ({"PORT": "9", "PASSWORD": "a", "PASSWORD_FILE": "b"}, "METRICS_PASSWORD_FILE: stands beside"),
        ({"PORT": "9", "PASSWORD_FILE": "/nowhere"}, "METRICS_PASSWORD_FILE: cannot be read: No such file"),
        ({"PORT": "9", "PASSWORD_FILE": "/dev/null"}, "METRICS_PASSWORD_FILE: names an empty file"),
    ],
)
def test_an_endpoint_that_is_wrong_is_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting) as caught:
        endpoint_of({f"ORCHESTRATOR_METRICS_{key}": value for key, value in environ.items()})
    assert words in str(caught.value)


def test_an_endpoint_is_off_unless_it_is_wanted(tmp_path: Path) -> None:
    assert endpoint_of({}) is None
    assert endpoint_of({"ORCHESTRATOR_METRICS_PORT": "0"}) is None
    assert endpoint_of({"ORCHESTRATOR_METRICS_PORT": "9"}, 0) is None
    assert endpoint_of({"ORCHESTRATOR_METRICS_PORT": "9"}) == Endpoint(9)
    for loopback in ("127.0.0.5", "::1", "localhost"):
        assert endpoint_of({"ORCHESTRATOR_METRICS_ADDRESS": loopback}, 9) == Endpoint(9, loopback)
    file = tmp_path / "password"
    file.write_text("hush\n")
    given = {"ORCHESTRATOR_METRICS_ADDRESS": "0.0.0.0", "ORCHESTRATOR_METRICS_PASSWORD_FILE": str(file)}
    found = endpoint_of(given, 9)
    assert found == Endpoint(9, "0.0.0.0", "hush")
    assert "hush" not in repr(found)


def test_a_port_that_is_taken_is_named() -> None:
    with exposed() as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(BadSetting, match=f"METRICS_PORT: 127.0.0.1:{port} cannot be had: Address already in use"):
            MetricsServer(Endpoint(port), make_registry())
