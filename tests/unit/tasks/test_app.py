"""The Celery application: how it reaches Redis, with and without TLS."""

from __future__ import annotations

import ssl

import pytest

from tasks.app import broker_url, connect, create_app

CA = "ssl_ca_certs=%2Fsome%20where%2Fca.pem"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:p@h:1/2", "redis://:p@h:1/2"),
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock"),
        ("unix://me:p%40s@/run/redis.sock?db=3", "redis+socket://me:p%40s@/run/redis.sock?virtual_host=3"),
        ("unix:///run/redis.sock?password=p%40s&db=3", "redis+socket://:p%40s@/run/redis.sock?virtual_host=3"),
        ("rediss://h/0", "rediss://h/0?ssl_cert_reqs=required"),
        (f"rediss://h/0?{CA}", f"rediss://h/0?{CA}&ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=none"),
    ],
)
def test_a_url_as_celery_spells_it(url: str, expected: str) -> None:
    assert broker_url(url) == expected


def test_a_certificate_is_verified_unless_it_is_said_that_it_is_not() -> None:
    def encrypted(url: str) -> object:
        with create_app(url) as app, app.connection() as connection:
            return connection.ssl, app.conf.broker_use_ssl

    ca = "/some where/ca.pem"
    assert encrypted("redis://h/0") == (False, False)
    assert encrypted(f"rediss://h/0?{CA}") == (
        {"ssl_ca_certs": ca, "ssl_cert_reqs": ssl.CERT_REQUIRED},
        {"ssl_ca_certs": ca, "ssl_cert_reqs": "required"},
    )
    assert encrypted("rediss://h/0?ssl_cert_reqs=none&ssl_check_hostname=false") == (
        {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False},
        {"ssl_cert_reqs": "none", "ssl_check_hostname": False},
    )


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"])
def test_it_is_on_the_broker_that_it_was_told_of(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "redis://elsewhere:1/7")
    app = create_app("redis://here:2/3")
    with app.connection_for_write() as writing, app.connection_for_read() as reading:
        assert {writing.hostname, reading.hostname} == {"here"}
    app.close()


def test_a_connection_over_a_unix_socket_can_be_made() -> None:
    """redis-py makes it when the first command is sent, and takes no options of TCP for it."""
    with connect("unix:///run/redis.sock?db=3") as client:
        made = client.connection_pool.make_connection()
    assert (made.path, made.db) == ("/run/redis.sock", 3)
    with connect("redis://h/0") as client:
        assert client.connection_pool.make_connection().socket_keepalive
