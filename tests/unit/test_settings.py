"""Settings: what the environment may say, in which words it is refused, and that no password shows."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.settings import Settings, ensure_data_dir, load_settings, without_secrets
from orchestrator.urls import redact
from tasks.endpoint import Endpoint

PREFIX = "ORCHESTRATOR_"


def loaded(**variables: str) -> Settings:
    return load_settings({PREFIX + name: value for name, value in variables.items()})


def refusal(**variables: str) -> str:
    with pytest.raises(BadInput) as caught:
        loaded(**variables)
    message = str(caught.value)
    assert "\n" not in message
    # A chained pydantic error would print the value that is being kept back.
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert caught.value.__cause__ is None
    return message


def test_defaults() -> None:
    assert loaded() == Settings()
    assert (loaded().storage_url, loaded().redis_url, loaded().checkpoint_url) == (None, None, None)
    assert loaded().data_dir == Path(".orchestrator")
    assert (loaded().heartbeat, loaded().lease) == (2.0, 6.0)
    assert (loaded().log_format, loaded().metrics()) == ("text", None)


def test_every_variable_arrives() -> None:
    found = loaded(
        STORAGE_URL="postgresql://u:p@h/d",
        REDIS_URL=" redis://h:6379/0\n",
        CHECKPOINT_URL="s3://bucket/prefix",
        DATA_DIR="/srv/data",
        HEARTBEAT="0.1",
        LEASE="1",
        LOG_FORMAT="json",
        METRICS_PORT="9180",
        METRICS_ADDRESS="0.0.0.0",
        METRICS_PASSWORD="hush",
    )
    assert found.storage_url == "postgresql://u:p@h/d"
    assert found.redis_url == "redis://h:6379/0"
    assert found.checkpoint_url == "s3://bucket/prefix"
    assert (found.data_dir, found.heartbeat, found.lease) == (Path("/srv/data"), 0.1, 1.0)
    assert found.log_format == "json"
    assert found.metrics() == Endpoint(9180, "0.0.0.0", "hush")
    assert found.metrics(9) == Endpoint(9, "0.0.0.0", "hush")
    assert found.metrics(0) is None
    assert "hush" not in repr(found)


def test_what_a_page_asks_for_does_not_show() -> None:
    found = loaded(FLOWER_AUTH="me:S3CRET", DASHBOARD_AUTH="me:S3CRET", FLOWER_AUTH_FILE="/run/secrets/flower")
    assert (found.flower_auth, found.flower_auth_file) == ("me:S3CRET", "/run/secrets/flower")
    assert "S3CRET" not in repr(found)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "7")
    assert load_settings().lease == 7
    assert load_settings({}).lease == 6
    # Only load_settings reads it.
    assert Settings().lease == 6


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_an_empty_variable_is_unset(empty: str) -> None:
    assert loaded(REDIS_URL=empty, HEARTBEAT=empty, DATA_DIR=empty) == Settings()


def test_a_file_may_lie_in_a_folder_whose_name_has_blanks() -> None:
    assert loaded(STORAGE_URL="sqlite:////home/my search/a.db").storage_url == "sqlite:////home/my search/a.db"
    for url in ("sqlite:////home/a\tb.db", "postgresql://u@h/a b", "sqlite:// host/a.db"):
        assert f"{PREFIX}STORAGE_URL" in refusal(STORAGE_URL=url)


def test_home_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    assert loaded(DATA_DIR="~/x").data_dir == Path("/home/u/x")
    assert "ORCHESTRATOR_DATA_DIR: is '~no-such-user/x'" in refusal(DATA_DIR="~no-such-user/x")


@pytest.mark.parametrize(
    "name", ["RELEASE", "IMAGE", "REDIS_PASSWORD", "DATABASE", "SLOT", "LOG_LEVEL", "", "X" * 5000, "😀"]
)
def test_foreign_variables_are_left_alone(name: str) -> None:
    assert loaded(**{name: "x"}) == Settings()
    assert load_settings({"RCHESTRATOR_LEASES": "x", "LEASES": "x"}) == Settings()


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("REDIS_ULR", "REDIS_URL"),
        ("REDISURL", "REDIS_URL"),
        ("REDIS_URI", "REDIS_URL"),
        ("STORAGE_URLS", "STORAGE_URL"),
        ("STORAGE-URL", "STORAGE_URL"),
        ("DATADIR", "DATA_DIR"),
        ("HEARTBEATS", "HEARTBEAT"),
        ("HARTBEAT", "HEARTBEAT"),
        ("LAESE", "LEASE"),
        ("Lease", "LEASE"),
        ("METRIC_PORT", "METRICS_PORT"),
    ],
)
def test_near_misses_are_refused(name: str, right: str) -> None:
    expected = f"{PREFIX}{name}: there is no such setting; did you mean '{PREFIX}{right}'?"
    assert refusal(**{name: "x"}) == expected


def test_lower_case_is_a_near_miss() -> None:
    with pytest.raises(BadInput, match="did you mean 'ORCHESTRATOR_LEASE'"):
        load_settings({"orchestrator_lease": "9"})


@pytest.mark.parametrize(
    ("variables", "pieces"),
    [
        ({"HEARTBEAT": "two"}, ("HEARTBEAT: is 'two'", "a number of seconds")),
        ({"LOG_FORMAT": "yaml"}, ("LOG_FORMAT: is 'yaml'", "'text' or 'json'")),
        ({"METRICS_PORT": "x"}, ("METRICS_PORT: is 'x'", "a port, or 0 for none")),
        ({"METRICS_PORT": "65536"}, ("METRICS_PORT: is '65536'", "a port, or 0 for none")),
        ({"HEARTBEAT": "true"}, ("HEARTBEAT: is 'true'", "a number of seconds")),
        ({"HEARTBEAT": "0"}, ("HEARTBEAT: is '0'", "above 0")),
        ({"HEARTBEAT": "-1"}, ("HEARTBEAT: is '-1'", "above 0")),
        ({"HEARTBEAT": "nan"}, ("HEARTBEAT: is 'nan'",)),
        ({"LEASE": "inf"}, ("LEASE: is 'inf'",)),
        ({"LEASE": "1e400"}, ("LEASE: is '1e400'",)),
        ({"LEASE": "1" * 9000}, ("LEASE: is '111",)),
        ({"LEASE": "86401"}, ("LEASE: is '86401'", "at most 86400")),
        ({"LEASE": "2"}, ("LEASE: the lease of 2 s is not longer than the heartbeat of 2 s", "HEARTBEAT")),
        ({"HEARTBEAT": "9"}, ("LEASE: the lease of 6 s is not longer than the heartbeat of 9 s",)),
        ({"DATA_DIR": "a\0b"}, ("DATA_DIR: contains a NUL",)),
        ({"REDIS_URL": "localhost:6379"}, ("REDIS_URL: 'localhost:6379' is not a URL", "redis://")),
        ({"REDIS_URL": "redis:localhost"}, ("REDIS_URL: 'redis:***' is not a URL",)),
        ({"REDIS_URL": "amqp://h"}, ("REDIS_URL: 'amqp://h' is not a Redis URL", "rediss://")),
        ({"REDIS_URL": "redis://"}, ("REDIS_URL: 'redis://' names no host",)),
        ({"REDIS_URL": "redis://h/zero"}, ("REDIS_URL: 'redis://h/zero' names no database number", "/0")),
        ({"REDIS_URL": "redis://h:0"}, ("no valid port",)),
        ({"REDIS_URL": "redis://h:65536"}, ("no valid port",)),
        ({"REDIS_URL": "redis://h\0"}, ("control characters",)),
        ({"REDIS_URL": "unix://"}, ("names no socket", "unix:///path")),
        ({"STORAGE_URL": "/srv/study.db"}, ("STORAGE_URL: '/srv/study.db' is not a URL", "sqlite:////")),
        ({"STORAGE_URL": "journal"}, ("STORAGE_URL: 'journal' is not a URL", "postgresql://")),
        ({"STORAGE_URL": "journal:///x.log"}, ("is a file, not a database", "postgresql://")),
        ({"STORAGE_URL": "mysql://h/d"}, ("STORAGE_URL: mysql is not supported", "postgresql://")),
        ({"STORAGE_URL": "mysql+pymysql://h/d"}, ("STORAGE_URL: mysql+pymysql is not supported",)),
        ({"STORAGE_URL": "postgres://h/d"}, ("'postgres' is not known", "postgresql://")),
        ({"STORAGE_URL": "postgresql+asyncpg://h/d"}, ("no other driver than psycopg",)),
        ({"STORAGE_URL": "redis://h/0"}, ("is no database URL",)),
        ({"STORAGE_URL": "postgresql://h"}, ("names no database",)),
        ({"STORAGE_URL": "postgresql://h:x/d"}, ("no valid port",)),
        ({"STORAGE_URL": "sqlite://"}, ("a database in memory", "sqlite:////absolute")),
        ({"STORAGE_URL": "sqlite:///:memory:"}, ("a database in memory",)),
        ({"STORAGE_URL": "sqlite:///file:x?mode=memory&uri=true"}, ("a database in memory",)),
        ({"STORAGE_URL": "sqlite://study.db"}, ("names a host", "three slashes")),
        ({"REDIS_URL": "redis://h/0?ssl_ca_certs=/ca.pem"}, ("ssl_ca_certs stands in a URL without TLS", "rediss://")),
        ({"REDIS_URL": "rediss://h/0?ssl_ca_certs=/none"}, ("ssl_ca_certs names no file: '/none'",)),
        ({"REDIS_URL": "rediss://h/0?ssl_cacerts=/ca"}, ("there is no 'ssl_cacerts'", "may say ssl_ca_certs")),
        ({"REDIS_URL": "rediss://h/0?ssl_password=secret"}, ("there is no 'ssl_password'",)),
        ({"REDIS_URL": "rediss://h/0?ssl_cert_reqs=optional"}, ("ssl_cert_reqs is 'optional'", "required or none")),
        ({"REDIS_URL": "rediss://h/0?ssl_check_hostname="}, ("ssl_check_hostname is ''", "true or false")),
        ({"CHECKPOINT_URL": "file://here/x"}, ("CHECKPOINT_URL: 'file://here/x' names a host", "three slashes")),
        ({"CHECKPOINT_URL": "s3:bucket/x"}, ("CHECKPOINT_URL: 's3:***' is neither a path nor a URL", "s3://bucket")),
        ({"CHECKPOINT_URL": "x::s3://b/x"}, ("is neither a path nor a URL",)),
        ({"CHECKPOINT_URL": "s4://bucket/x"}, ("is no store that fsspec knows", "s3://bucket")),
        ({"CHECKPOINT_URL": "s3://"}, ("CHECKPOINT_URL: 's3://' names no place",)),
        ({"CHECKPOINT_URL": "s3://b\0"}, ("control characters",)),
        ({"CHECKPOINT_URL": "a\0b"}, ("CHECKPOINT_URL: contains a NUL",)),
        ({"CHECKPOINT_URL": "sftp://u:secret@h/ x"}, ("'sftp://u:***@h/ x' contains blanks",)),
    ],
)
def test_refused(variables: dict[str, str], pieces: tuple[str, ...]) -> None:
    message = refusal(**variables)
    assert message.startswith(PREFIX)
    assert len(message) < 500
    for piece in pieces:
        assert piece in message


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///study.db",
        "sqlite:////srv/study.db",
        "sqlite+pysqlite:////srv/study.db",
        "postgresql://u:p@h:5432/d",
        "postgresql+psycopg://u:p%40@[::1]:5432/d?sslmode=require",
        "postgresql:///d?host=/run/postgresql",
        "POSTGRESQL://h/d",
    ],
)
def test_storage_urls_taken(url: str) -> None:
    assert loaded(STORAGE_URL=url).storage_url == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p@h:6379/0",
        "rediss://u:p@h/3?ssl_cert_reqs=none",
        "redis://[::1]:6379",
        "unix:///s",
    ],
)
def test_redis_urls_taken(url: str) -> None:
    assert loaded(REDIS_URL=url).redis_url == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", "s3://bucket"),
        ("S3://Bucket/Prefix", "s3://Bucket/Prefix"),
        ("sftp://u:p@h/x", "sftp://u:p@h/x"),
        ("memory://", "memory://"),
        ("/srv/shared folder/x", "/srv/shared folder/x"),
        ("file:///srv/x", "/srv/x"),
        ("~/x", "/home/u/x"),
        ("x/y", "/here/x/y"),
    ],
)
def test_urls_of_stores_taken(url: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is made absolute where it is read: the control plane and the workers it starts may differ in theirs."""
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.chdir(tmp_path)
    taken = expected.replace("/here", str(tmp_path))
    assert loaded(CHECKPOINT_URL=url).checkpoint_url == taken
    assert loaded(ARTIFACT_URL=url).artifact_url == taken


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://u:secret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:se/c@r?e#t@h:5432/d?x=1", "postgresql://u:***@h:5432/d?x=1"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h:5432/d", "postgresql://h:5432/d"),
        ("redis://:secret@h:1/0", "redis://:***@h:1/0"),
        ("redis://secret@h", "redis://***@h"),
        ("redis://:secret", "redis://:***"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://h/0?password=secret&db=1", "redis://h/0?password=***&db=1"),
        ("redis://h/0?password=se@cret&db=1", "redis://***@***&db=1"),
        ("u:secret@h", "u:***@h"),
        ("host=h password='se cret' dbname=d", "host=h password=*** dbname=d"),
        ("sqlite:////a:b/c", "sqlite:////a:b/c"),
        ("", ""),
    ],
)
def test_redacted(url: str, masked: str) -> None:
    assert redact(url) == masked


SECRET = st.text(st.sampled_from("aZ9@:/?#&=%[]'.-_~!é "), min_size=1, max_size=12).map(lambda text: f"S3{text}3S")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["postgresql", "redis", "mysql", "x+y", "sqlite", "sftp"]),
    st.sampled_from(["", "u", "user.name", "S"]),
    SECRET,
    st.sampled_from(["@h/d", "@h:5432/d?x=1", "@[::1]:1/0", "@h", "@"]),
)
@example("postgresql", "u", "S3://3S", "@h/d")
def test_no_piece_of_a_password_shows(scheme: str, user: str, password: str, rest: str) -> None:
    url = f"{scheme}://{user}:{password}{rest}"
    assert "S3" not in redact(url)
    assert "3S" not in redact(url)
    for name in ("STORAGE_URL", "REDIS_URL", "CHECKPOINT_URL"):
        try:
            found = loaded(**{name: url})
        except BadInput as error:
            message = str(error)
            assert "S3" not in message
            assert "3S" not in message
        else:
            assert "S3" not in repr(found)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["STORAGE_URL", "REDIS_URL", "CHECKPOINT_URL", "DATA_DIR", "HEARTBEAT", "LEASE"])
        | st.text(max_size=6),
        st.text(max_size=12)
        | st.sampled_from(["redis://", "sqlite:///", "postgresql://", "s3://", "file://", "~"]).flatmap(
            lambda head: st.text(max_size=6).map(lambda tail: head + tail)
        ),
        max_size=4,
    )
)
def test_any_environment_is_settings_or_bad_input(variables: dict[str, str]) -> None:
    try:
        found = loaded(**variables)
    except BadInput as error:
        message = str(error)
        assert "\n" not in message
    else:
        assert found.lease > found.heartbeat


# -- the data folder


def test_the_data_folder_is_made_for_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = ensure_data_dir(Path("a/b"))
    assert made == tmp_path.resolve() / "a" / "b"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert list(made.iterdir()) == []
    (made / "kept").touch()
    assert ensure_data_dir(made) == made
    assert (made / "kept").exists()


def test_no_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    broken = tmp_path / "broken"
    broken.symlink_to(tmp_path / "nowhere")
    for path, piece in {
        file: "is not a folder",
        file / "below": "lies below a file",
        broken: "is not a folder",
        tmp_path / ("x" * 600): "cannot be created: File name too long",
        Path("a\0b"): "cannot be created",
        Path("/proc/nothing/here"): "cannot be created",
        Path("/proc"): "/proc: takes no files",
    }.items():
        with pytest.raises(BadInput) as caught:
            ensure_data_dir(path)
        assert piece in str(caught.value)
        assert "choose another folder with ORCHESTRATOR_DATA_DIR" in str(caught.value)
    # Root passes permission checks, so a full disk stands in for every reason why a folder takes no files.
    monkeypatch.setattr("tempfile.NamedTemporaryFile", _full)
    with pytest.raises(BadInput, match="takes no files: No space left on device"):
        ensure_data_dir(tmp_path)


def _full(**_arguments: object) -> None:
    raise OSError(28, os.strerror(28))


def test_the_objective_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = f"a{os.pathsep}/b/../c{os.pathsep}"
    assert loaded(OBJECTIVE_PATH=given).objective_path == f"{tmp_path / 'a'}{os.pathsep}/c"
    assert "OBJECTIVE_PATH: contains a NUL character" in refusal(OBJECTIVE_PATH="a\0b")


def test_metrics_for_others_want_a_password() -> None:
    with pytest.raises(BadInput, match="can be reached from elsewhere, and there is no password"):
        loaded(METRICS_PORT="9180", METRICS_ADDRESS="0.0.0.0").metrics()
    with pytest.raises(BadInput, match="METRICS_PASSWORD_FILE: cannot be read"):
        loaded(METRICS_PORT="9180", METRICS_PASSWORD_FILE="/nowhere").metrics()
    # Who shows none needs none.
    assert loaded(METRICS_ADDRESS="0.0.0.0", METRICS_PASSWORD_FILE="/nowhere").metrics() is None


def test_the_list_of_objectives_is_read_as_a_worker_reads_it() -> None:
    assert loaded(OBJECTIVES=" a, b.c d:f,* ").objectives == "a,b.c,d:f,*"
    assert "'a/b' is neither a module's name nor module:function nor *" in refusal(OBJECTIVES="x,a/b")


def test_a_worker_is_not_told_what_only_the_control_plane_has_to_know() -> None:
    told = {"PATH": "/bin", PREFIX + "REDIS_URL": "redis://h", PREFIX + "METRICS_PASSWORD": "of the worker's, too"}
    kept_back = {PREFIX + name: "hush" for name in ("STORAGE_URL", "NOTIFY_KEY", "NOTIFY_URLS", "NOTIFY_KEY_FILE")}
    assert without_secrets(told | kept_back) == told


# -- TLS


def test_a_url_may_say_how_its_server_is_trusted(tmp_path: Path) -> None:
    file = tmp_path / "a file.pem"
    file.touch()
    quoted = str(file).replace(" ", "%20")
    said = f"ssl_ca_certs={quoted}&ssl_certfile={quoted}&ssl_keyfile={quoted}&ssl_cert_reqs=required"
    for url in ("rediss://h:1/0", f"rediss://u:p%40@h/0?{said}", "rediss://h/0?ssl_check_hostname=false&protocol=3"):
        assert loaded(REDIS_URL=url).redis_url == url
