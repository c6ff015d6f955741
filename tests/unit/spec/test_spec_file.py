"""Spec files: whatever is in them, it is a spec or one clear line."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spec_text import BASE, FULL, refusal

from orchestrator.common.errors import BadInput
from orchestrator.spec import load, parse
from orchestrator.spec.load import LARGEST_FILE


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", ("s.toml: is empty", "name, objective and trials")),
        ("  \n\t", ("s.toml: is empty",)),
        ("# only words\n", ("s.toml: has no keys",)),
        ("name = ", ("s.toml: ", "not valid TOML")),
        ('name = "a"\n\nx y\n', ("s.toml: line 3, column 3: not valid TOML",)),
        ('name = "a"\nname = "b"\n', ("s.toml: line 2, column 11", "may stand only once")),
        ("[args]\n[args]\n", ("s.toml: line 2, column 6", "may stand only once")),
        ("name = digits\n", ("s.toml: line 1, column 8", "text must be in quotes")),
        ('name = "a', ("s.toml: end of document",)),
        ("x = " + "[" * 5000, ("s.toml: is nested too deeply",)),
    ],
)
def test_broken_toml(text: str, pieces: tuple[str, ...]) -> None:
    message = refusal(text)
    for piece in pieces:
        assert piece in message


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text(FULL, encoding="utf-8")
    assert load(good) == parse(FULL, "other")
    good.write_bytes(b"\xef\xbb\xbf" + FULL.encode())
    assert load(good) == parse(FULL, "other")
    bad = tmp_path / "bad.toml"
    cases: dict[bytes, str] = {
        b"": f"{bad}: is empty",
        b"name = 'a'\nx = '\xff'": f"{bad}: line 2: is not UTF-8: byte 0xff",
        BASE.encode("utf-16"): f"{bad}: line 1: is not UTF-8",
        b"#" * (LARGEST_FILE + 1): f"{bad}: is larger than {LARGEST_FILE} bytes",
        b"trails = 1": f"{bad}: trails: unknown key",
    }
    for content, start in cases.items():
        bad.write_bytes(content)
        with pytest.raises(BadInput) as caught:
            load(bad)
        assert str(caught.value).startswith(start)
    for path, piece in {
        tmp_path / "none.toml": f"{tmp_path}/none.toml: there is no such file",
        tmp_path: f"{tmp_path}: is a directory",
        good / "x": "cannot be read",
        Path("a\0b"): "cannot be read",
        Path("a\nb" + "x" * 5000): "cannot be read",
        Path("/dev/zero"): "is larger than",
    }.items():
        with pytest.raises(BadInput) as caught:
            load(path)
        assert piece in str(caught.value)
        assert len(str(caught.value)) < 1000


def test_a_file_of_just_the_largest_size_is_read(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + "#" * (LARGEST_FILE - len(BASE)))
    assert load(file).name == "a"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"x = 0x" + b"f" * 6000)
@example(b"\xed\xa0\x80")
@example(b"\0")
def test_any_file_is_a_spec_or_bad_input(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / f"fuzz-{os.getpid()}.toml"
    for content in (tail, BASE.encode() + tail):
        file.write_bytes(content)
        try:
            name = load(file).name
        except BadInput as error:
            message = str(error)
            assert message.startswith(f"{file}: ")
        else:
            assert tomllib.loads(content.decode("utf-8-sig"))["name"] == name
