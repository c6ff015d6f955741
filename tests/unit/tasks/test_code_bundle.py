"""The archive of a code bundle: the same files give the same digest, and come back as they were."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.code_bundle import (
    BadBundle,
    bundle_reference,
    is_digest,
    make_bundle,
    path_problem,
    shown_reference,
    split_reference,
    unpack,
)
from tasks.installed_packages import missing_requirements
from tasks.metrics_endpoint import BadSetting
from tasks.objective_allowlist import Allowlist, split_list
from tasks.signing import Keyring, Purpose, name_of_key, read_keys

PART = st.text(st.characters(codec="utf-8", exclude_characters="/\\"), min_size=1, max_size=8)
FILES = st.dictionaries(st.lists(PART, min_size=1, max_size=3).map("/".join), st.binary(max_size=50), max_size=8)


@given(FILES, st.randoms(use_true_random=False))
def test_it_comes_back_whole_and_its_digest_depends_on_its_files_alone(
    files: dict[str, bytes], shuffled: random.Random
) -> None:
    try:
        bundle = make_bundle("a:b", files.items())
    except BadBundle:
        return
    again = list(files.items())
    shuffled.shuffle(again)
    assert make_bundle("a:b", again).digest == bundle.digest
    assert unpack(bundle.pack(), bundle.digest) == bundle
    assert {file.path: file.data for file in bundle.files} == files
    assert make_bundle("a:c", files.items()).digest != bundle.digest
    assert is_digest(bundle.digest)


@given(st.text(max_size=30))
def test_any_path_is_refused_in_words_or_stays_below(path: str) -> None:
    if path_problem(path):
        with pytest.raises(BadBundle):
            make_bundle("a:b", [(path, b"")])
    else:
        assert ".." not in path.split("/")
        assert not path.startswith("/")


def test_a_bundle_is_shown_in_one_line() -> None:
    bundle = make_bundle("train:objective", [("train.py", b"1" * 5000)])
    assert repr(bundle) == f"<CodeBundle {bundle.digest[:12]} of 'train:objective': 1 files, 5000 bytes>"


def test_a_reference_names_its_bundle() -> None:
    digest = make_bundle("a:b", []).digest
    reference = bundle_reference(digest, "a.b:c")
    assert split_reference(reference) == (digest, "a.b:c")
    assert shown_reference(reference) == f"a.b:c of code bundle {digest[:12]}"
    for other in ("a.b:c", "bundle:a", "bundle:b:c", f"bundle:{digest[:-1]}:a:b", f"bundle:{digest.upper()}:a:b", ""):
        assert split_reference(other) is None
        assert shown_reference(other) == other


def test_the_list_takes_bundles_and_names_of_keys() -> None:
    assert split_list("bundle:*, bundle:alice mypackage") == ("bundle:*", "bundle:alice", "mypackage")
    for wrong in ("bundle:", "bundle:a-b", "bundles:*", "bundle.*"):
        with pytest.raises(BadSetting):
            split_list(wrong)
    reference = bundle_reference("0" * 64, "a:b")
    assert "add bundle:*" in Allowlist(("*", "a")).refuse(reference)
    assert not Allowlist(("bundle:bob",)).refuse(reference)
    assert Allowlist(("bundle:bob",)).refuse_signed(reference, ("alice",))
    assert not Allowlist(("bundle:bob",)).refuse_signed(reference, ("", "bob"))
    # The list is the list: what it admits beside bundles, it has to name.
    assert Allowlist(("bundle:*",)).refuse("mypackage:objective")


def test_a_key_may_have_a_name_that_is_a_part_of_it() -> None:
    secret = "0123456789abcdef" * 2
    assert [name_of_key(key) for key in (f"alice:{secret}", secret, f":{secret}", f"1a:{secret}", "a:")] == [
        *("alice", "", "", "", ""),
    ]
    assert read_keys(f"alice:{secret} {secret}", "") == (f"alice:{secret}", secret)
    keyring = Keyring((secret, f"alice:{secret}", f"bob:{secret}"))
    signature = Keyring((f"alice:{secret}",)).sign(Purpose.AUTHOR, b"x")
    assert keyring.signers(Purpose.AUTHOR, b"x", signature) == ("alice",)
    assert keyring.signers(Purpose.AUTHOR, b"y", signature) == ()
    assert keyring.signers(Purpose.JOB, b"x", signature) == ()


MADE_UP = """\
Metadata-Version: 2.1
Name: Made_Up
Version: 1.0
Provides-Extra: small
Provides-Extra: large
Provides-Extra: all
Requires-Dist: redis>=1; extra == "small"
Requires-Dist: made-long-ago (>dev); extra == "small"
Requires-Dist: redis; os_name ~= "x" and extra == "small"
Requires-Dist: no-such-thing>2; extra == "large"
Requires-Dist: nor-this; python_version > "3" and extra == "large"
Requires-Dist: no-such-other; python_version < "3" and extra == "large"
Requires-Dist: made-up[large,small]; extra == "all"
Requires-Dist: made-up[all]; extra == "all"
"""


@pytest.mark.parametrize(
    ("requirement", "missing"),
    [
        ("msgspec", ""),
        ("msgspec>=0.1", ""),
        ("msgspec<0.1", "'msgspec<0.1' is required, and msgspec 0."),
        ("no-such-thing==1", "'no-such-thing==1' is required, and no-such-thing is not installed"),
        ("no-such-thing; python_version < '3'", ""),
        ("python>=3.8", ""),
        ("Python<3.8", "'Python<3.8' is required, and Python 3."),
        ("made.up[Small]>=1", ""),
        (
            "made-up[all]",
            "'no-such-thing>2' is required, and no-such-thing is not installed (by 'Made_Up[large]'",
        ),
        ("made-up[none]", "'Made_Up[none]' is required, and Made_Up 1.0 has no such extra"),
        (">>", "'>>' is no requirement"),
        ('redis; os_name ~= "x"', "'redis; os_name ~= \"x\"' cannot be compared: "),
    ],
)
def test_requirements_are_compared_with_what_is_installed(
    requirement: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up-1.0.dist-info").mkdir()
    (tmp_path / "made_up-1.0.dist-info" / "METADATA").write_text(MADE_UP)
    monkeypatch.syspath_prepend(tmp_path)
    found = missing_requirements([requirement, "redis"])
    assert found.startswith(missing) if missing else found == ""
