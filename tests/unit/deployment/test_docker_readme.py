"""docker/README.md names what is there."""

from __future__ import annotations

import re

from tests.deployment import COMPOSE, DOCKER, DOCKERFILES, README, ROOT, SERVICES


def test_the_readme_names_files_services_and_secrets_that_exist() -> None:
    for name in re.findall(r"`([\w.-]+\.(?:yaml|txt|sh|py|example)|Dockerfile\.\w+)`", README):
        assert (DOCKER / name).exists() or name in ("compose.override.yaml", "mnist.py"), name
    for name in DOCKERFILES:
        assert f"`{name}`" in README
    for line in re.findall(r"^docker compose (?:restart|run --rm|logs --follow) (.*)$", README, re.MULTILINE):
        assert line.split()[0] in SERVICES
    (created,) = re.findall(r"for name in (.*); do", README)
    assert set(created.split()) == set(COMPOSE["secrets"])
    assert (ROOT / "studies" / "digits.toml").is_file()
    for variable in re.findall(r"^([A-Z_]+)=", README, re.MULTILINE):
        assert variable in (DOCKER / ".env.example").read_text()
