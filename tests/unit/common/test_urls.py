"""URLs of servers and stores: which are accepted, and that no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from loading import PREFIX, loaded, refusal

from orchestrator.common.errors import BadInput
from orchestrator.common.urls import redact


def test_a_file_may_lie_in_a_folder_whose_name_has_blanks() -> None:
    assert loaded(STORAGE_URL="sqlite:////home/my search/a.db").storage_url == "sqlite:////home/my search/a.db"
    for url in ("sqlite:////home/a\tb.db", "postgresql://u@h/a b", "sqlite:// host/a.db"):
        assert f"{PREFIX}STORAGE_URL" in refusal(STORAGE_URL=url)


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


def test_a_url_may_say_how_its_server_is_trusted(tmp_path: Path) -> None:
    file = tmp_path / "a file.pem"
    file.touch()
    quoted = str(file).replace(" ", "%20")
    said = f"ssl_ca_certs={quoted}&ssl_certfile={quoted}&ssl_keyfile={quoted}&ssl_cert_reqs=required"
    for url in ("rediss://h:1/0", f"rediss://u:p%40@h/0?{said}", "rediss://h/0?ssl_check_hostname=false&protocol=3"):
        assert loaded(REDIS_URL=url).redis_url == url
