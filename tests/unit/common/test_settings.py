"""Settings: the variables and their values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from loading import PREFIX, loaded, refusal

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import Settings, load_settings, without_secrets
from tasks.metrics_endpoint import Endpoint


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
