"""Wrong settings are refused in one line that says what is right, also for a name that is nearly one."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import PREFIX, loaded, refusal

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import load_settings
from orchestrator.doctor.host_probe import read_installation
from orchestrator.queries.logs import log_file
from tests.unprivileged import become_unprivileged


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
        # As of a folder that this user may not enter: whether there are studies in it cannot be told.
        ({"DATA_DIR": "a" * 300}, ("DATA_DIR: 'aaa", "cannot be looked at: File name too long", "another folder")),
        ({"ARTIFACT_URL": "a" * 300}, ("ARTIFACT_URL: 'aaa", "cannot be looked at: File name too long")),
        ({"STORAGE_URL": f"sqlite:///{'a' * 300}"}, ("STORAGE_URL: 'aaa", "cannot be looked at", "another file")),
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


def test_a_folder_that_this_user_may_not_enter_is_refused_only_where_the_studies_are_there(tmp_path: Path) -> None:
    """As of a service whose variables a person's shell has, too."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    service = {name: f"{closed}/{name}" for name in ("DATA_DIR", "CHECKPOINT_URL", "ARTIFACT_URL")}
    fleet = service | {"STORAGE_URL": "postgresql://h/d"}

    def look() -> None:
        assert "DATA_DIR: " in refusal(**service)
        found = load_settings({PREFIX + name: value for name, value in fleet.items()})
        assert read_installation(found.data_dir).disk_free is not None
        with pytest.raises(BadInput, match="cannot be looked at: Permission denied"):
            log_file(found.data_dir, "mine", 0)

    # What is imported as it is needed is there by then.
    load_settings({PREFIX + name: value for name, value in fleet.items()})
    if (pid := os.fork()) == 0:
        code = 1
        try:
            become_unprivileged()
            look()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
