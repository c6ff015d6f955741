"""A worker's code bundles, on a real Redis: fetched, verified, unpacked, and shared by the keepers of a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import redis

from tasks import code_bundle, redis_keys
from tasks.code_bundle import BadBundle, BundledFile, CodeBundle, CodeMessage, bundle_reference, digest_of, make_bundle
from tasks.codec import encode
from tasks.keeper import code_store
from tasks.keeper.code_store import CodeMissing, CodeRefused, CodeStore
from tasks.objective_allowlist import Allowlist
from tasks.signing import UNSIGNED, Keyring, Purpose
from tests.shared_servers import redis_url

FLEET = "fleet:" + "0123456789abcdef" * 4
ALICE = "alice:" + "fedcba9876543210" * 4
OTHER = "f1e2d3c4b5a69788" * 4
EVERY = Allowlist(("bundle:*",))
BUNDLE = make_bundle("train:objective", [("train.py", b"def objective(trial): return 1\n"), ("data/x.csv", b"1\n")])
STORES: list[CodeStore] = []
REFERENCE = bundle_reference(BUNDLE.digest, BUNDLE.objective)


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(redis_url())) as found:
        yield found
        for key in found.scan_iter(redis_keys.code("*")):
            found.delete(key)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Closes the stores of a test."""
    yield
    while STORES:
        STORES.pop().close()


def store_of(folder: Path, client: redis.Redis, allowlist: Allowlist, keyring: Keyring) -> CodeStore:
    STORES.append(CodeStore(folder, client, allowlist, keyring))
    return STORES[-1]


def put(
    client: redis.Redis, bundle: CodeBundle = BUNDLE, keys: tuple[str, ...] = (), author: str = "", digest: str = ""
) -> None:
    """Puts a bundle into Redis as a control plane with these keys does."""
    signature = Keyring([author]).sign(Purpose.AUTHOR, bundle.digest.encode()) if author else b""
    message = encode(CodeMessage(archive=bundle.pack(), author=signature))
    client.set(redis_keys.code(digest or bundle.digest), Keyring(keys).seal(Purpose.CODE, message, bundle.digest))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_is_unpacked_and_the_next_keeper_needs_no_redis(client: redis.Redis, tmp_path: Path) -> None:
    put(client)
    first = store_of(tmp_path / "code", client, EVERY, UNSIGNED)
    (folder,) = first.folders(REFERENCE)
    assert files(Path(folder)) == {"train.py": BUNDLE.files[1].data, "data/x.csv": b"1\n"}
    client.delete(redis_keys.code(BUNDLE.digest))
    assert store_of(tmp_path / "code", client, EVERY, UNSIGNED).folders(REFERENCE) == (folder,)
    assert store_of(tmp_path / "code", client, EVERY, UNSIGNED).folders("train:objective") == ()


def test_what_redis_lacks_is_asked_for_and_comes(client: redis.Redis, tmp_path: Path) -> None:
    asked: list[None] = []

    def ask() -> None:
        asked.append(None)
        put(client)

    assert store_of(tmp_path, client, EVERY, UNSIGNED).folders(REFERENCE, ask)
    assert len(asked) == 1
    store = store_of(tmp_path / "other", client, EVERY, UNSIGNED)
    client.delete(redis_keys.code(BUNDLE.digest))
    with pytest.raises(CodeMissing, match="is not in Redis"):
        store.folders(REFERENCE)
    with pytest.raises(CodeMissing):
        store.folders(REFERENCE, lambda: None, lambda: True)


def test_what_another_program_has_put_there_is_replaced(client: redis.Redis, tmp_path: Path) -> None:
    client.rpush(redis_keys.code(BUNDLE.digest), "a list")
    assert store_of(tmp_path, client, EVERY, UNSIGNED).folders(REFERENCE, lambda: put(client))


@pytest.mark.parametrize("keys", [(), (FLEET,)])
def test_what_was_not_signed_or_is_spoilt_is_asked_for_again(
    client: redis.Redis, tmp_path: Path, keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil() -> None:
        client.set(redis_keys.code(BUNDLE.digest), b"rubbish")

    spoil()
    assert store_of(tmp_path / "a", client, EVERY, Keyring(keys)).folders(REFERENCE, lambda: put(client, keys=keys))
    # A key that was taken away may have signed what still is in Redis.
    put(client, keys=(OTHER,))
    assert store_of(tmp_path / "b", client, EVERY, Keyring(keys)).folders(REFERENCE, lambda: put(client, keys=keys))
    spoil()
    with pytest.raises(CodeMissing):
        store_of(tmp_path / "c", client, EVERY, Keyring(keys)).folders(REFERENCE, spoil, lambda: True)
    # Where there is a key, another client delays a trial by it, and fails none.
    monkeypatch.setattr(code_store, "WAIT_SECONDS", 0.1)
    with pytest.raises(CodeMissing if keys else CodeRefused):
        store_of(tmp_path / "d", client, EVERY, Keyring(keys)).folders(REFERENCE, spoil)


def test_a_keeper_that_comes_later_moves_no_files_of_another_ones_trial(client: redis.Redis, tmp_path: Path) -> None:
    put(client)
    (folder,) = store_of(tmp_path, client, EVERY, UNSIGNED).folders(REFERENCE)
    before = Path(folder).stat().st_ino
    (tmp_path / f"{BUNDLE.digest}.bundle").unlink()
    store_of(tmp_path, client, EVERY, UNSIGNED).folders(REFERENCE)
    assert Path(folder).stat().st_ino == before


def test_a_keeper_lets_go_of_what_it_used_first(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_store, "MOST_HELD", 2)
    store = store_of(tmp_path, client, EVERY, UNSIGNED)
    bundles = [make_bundle("train:objective", [("train.py", bytes([each]))]) for each in b"abc"]
    for bundle in (*bundles[:2], bundles[0], bundles[2]):
        put(client, bundle)
        store.folders(bundle_reference(bundle.digest, bundle.objective))
    free = []
    for bundle in bundles:
        with open(tmp_path / f"{bundle.digest}.lock") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.append(bundle)
    assert free == [bundles[1]]


def test_an_archive_of_countless_empty_files_is_not_read_to_its_end() -> None:
    count = code_bundle.MOST_FILES + 1
    for name in (b"files", b"paths"):
        size = 2 * count
        entries = (b"\x92\xa0\xc4\x00" if name == b"files" else b"\xa0") * size
        encoded = b"\x82\xa9objective\xa3x:y" + b"\xa5" + name + b"\xdd" + size.to_bytes(4, "big") + entries
        with pytest.raises(BadBundle, match="Expected `array` of length"):
            code_bundle.unpack(zlib.compress(encoded), digest_of(encoded))


def test_a_file_that_was_changed_or_made_a_link_is_put_back(client: redis.Redis, tmp_path: Path) -> None:
    put(client)
    store = store_of(tmp_path / "code", client, EVERY, UNSIGNED)
    folder = Path(store.folders(REFERENCE)[0])
    victim = tmp_path / "victim"
    victim.write_bytes(BUNDLE.files[1].data)
    (folder / "train.py").unlink()
    (folder / "train.py").symlink_to(victim)
    (folder / "data" / "x.csv").write_text("2\n")
    store.folders(REFERENCE)
    assert not (folder / "train.py").is_symlink()
    assert (folder / "data" / "x.csv").read_text() == "1\n"


@pytest.mark.parametrize(
    ("keys", "sealed", "author", "entries", "problem"),
    [
        ((), (), "", ("bundle:*",), ""),
        ((), (), "", (), "this worker runs no code that is sent to it"),
        ((), (), "", ("*",), "this worker runs no code that is sent to it"),
        ((FLEET,), (FLEET,), "", ("bundle:*",), ""),
        ((FLEET,), (), "", ("bundle:*",), "not signed"),
        ((FLEET,), (OTHER,), "", ("bundle:*",), "signed with no key that is known here"),
        ((), (FLEET,), "", ("bundle:*",), "signed, and there is no key here"),
        ((FLEET, ALICE), (FLEET,), ALICE, ("bundle:alice",), ""),
        ((FLEET, ALICE), (FLEET,), FLEET, ("bundle:alice",), "it is signed with the key 'fleet'; this worker admits"),
        ((FLEET,), (FLEET,), ALICE, ("bundle:alice",), "it is signed with no key that has a name; this worker admits"),
        ((FLEET, ALICE), (FLEET,), "", ("bundle:alice",), "it is signed with no key that has a name"),
        ((FLEET, OTHER), (FLEET,), OTHER, ("bundle:alice",), "it is signed with no key that has a name"),
    ],
)
def test_who_signed_what_is_admitted(
    client: redis.Redis,
    tmp_path: Path,
    keys: tuple[str, ...],
    sealed: tuple[str, ...],
    author: str,
    entries: tuple[str, ...],
    problem: str,
) -> None:
    put(client, keys=sealed, author=author)
    store = store_of(tmp_path, client, Allowlist(entries), Keyring(keys))
    if not problem:
        assert store.folders(REFERENCE)
        return
    with pytest.raises(CodeRefused) as caught:
        store.folders(REFERENCE)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"train:objective of code bundle {BUNDLE.digest[:12]}: ")


def test_what_run_names_is_admitted_and_nothing_else(client: redis.Redis, tmp_path: Path) -> None:
    other = make_bundle("train:objective", [("train.py", b"pass\n")])
    put(client)
    put(client, other)
    store = store_of(tmp_path, client, Allowlist(named=(REFERENCE,)), UNSIGNED)
    assert store.folders(REFERENCE)
    with pytest.raises(CodeRefused):
        store.folders(bundle_reference(other.digest, other.objective))


def test_the_signature_of_one_bundle_is_none_of_another(client: redis.Redis, tmp_path: Path) -> None:
    other = make_bundle("train:objective", [("train.py", b"pass\n")])
    put(client, keys=(FLEET,))
    put(client, other, keys=(FLEET,), digest=BUNDLE.digest)
    with pytest.raises(CodeRefused, match="signed with no key"):
        store_of(tmp_path, client, EVERY, Keyring((FLEET,))).folders(REFERENCE)


def raw(files: list[tuple[str, bytes]], **changed: object) -> bytes:
    bundle = CodeBundle(objective="train:objective", files=tuple(BundledFile(*each) for each in files))
    return msgspec.msgpack.encode(msgspec.structs.replace(bundle, **changed))


LONG = "a" * 300
HOSTILE: Mapping[str, bytes] = {
    "a parent folder": raw([("../evil.py", b"")]),
    "a parent folder in the middle": raw([("a/../../evil.py", b"")]),
    "an absolute path": raw([("/tmp/evil.py", b"")]),
    "no name": raw([("", b"")]),
    "a dot": raw([("./evil.py", b"")]),
    "two slashes": raw([("a//evil.py", b"")]),
    "a slash at the end": raw([("a/", b"")]),
    "backslashes": raw([("a\\..\\evil.py", b"")]),
    "a NUL": raw([("evil\0.py", b"")]),
    "a line end": raw([("evil\n.py", b"")]),
    "a long name": raw([(LONG, b"")]),
    "a long path": raw([("/".join(["a" * 100] * 20), b"")]),
    "the same file twice": raw([("a.py", b"1"), ("a.py", b"2")]),
    "names that differ in case": raw([("a.py", b"1"), ("A.py", b"2")]),
    "folders that differ in case": raw([("a/x.py", b"1"), ("A/y.py", b"2")]),
    "names that differ in their accents' form": raw([("\u00e9.py", b"1"), ("e\u0301.py", b"2")]),
    "a file that is a folder": raw([("a", b"1"), ("a/b.py", b"2")]),
    "an import folder elsewhere": raw([("a.py", b"")], paths=("../..",)),
    "an absolute import folder": raw([("a.py", b"")], paths=("/tmp",)),
    "another format": raw([("a.py", b"")], format=2),
    "no bundle": msgspec.msgpack.encode([1, 2]),
    "no msgpack": b"\xc1\xc1",
    "nothing": b"",
    "another objective": raw([("train.py", b"")], objective="os:system"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(client: redis.Redis, tmp_path: Path, name: str) -> None:
    encoded = HOSTILE[name]
    digest = digest_of(encoded)
    client.set(redis_keys.code(digest), encode(CodeMessage(archive=zlib.compress(encoded))))
    folder = tmp_path / "a" / "b" / "code"
    with pytest.raises(CodeRefused):
        store_of(folder, client, EVERY, UNSIGNED).folders(bundle_reference(digest, "train:objective"))
    left = list(tmp_path.rglob("*.py"))
    assert left == ([folder / digest / "train.py"] if name == "another objective" else [])


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda archive: archive[:-5], "cut off"),
        (lambda archive: archive + archive, "more than one"),
        (lambda archive: b"x" + archive, "broken"),
        (lambda archive: archive[:20] + bytes([archive[20] ^ 1]) + archive[21:], "broken|digest|no bundle"),
        (lambda _: zlib.compress(b"\0" * (1 << 21)), "unpacks to more than"),
        (lambda _: raw([("train.py", b"")]), "broken"),
    ],
)
def test_a_spoilt_archive_is_refused(
    client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[bytes], bytes],
    problem: str,
) -> None:
    monkeypatch.setattr(code_bundle, "LARGEST", 1 << 20)
    client.set(redis_keys.code(BUNDLE.digest), encode(CodeMessage(archive=spoil(BUNDLE.pack()))))
    with pytest.raises(CodeRefused, match=problem):
        store_of(tmp_path, client, EVERY, UNSIGNED).folders(REFERENCE)


def test_keepers_that_unpack_at_once_all_find_the_whole(client: redis.Redis, tmp_path: Path) -> None:
    put(client)
    found: list[dict[str, bytes]] = []
    barrier = threading.Barrier(8)

    def take() -> None:
        store = store_of(tmp_path, client, EVERY, UNSIGNED)
        barrier.wait()
        found.append(files(Path(store.folders(REFERENCE)[0])))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{file.path: file.data for file in BUNDLE.files}] * 8
    assert not list(tmp_path.glob(".unpacking-*"))


def test_what_no_keeper_uses_makes_room(client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_store, "MOST_BYTES", 5_000)
    bundles = [make_bundle("train:objective", [("train.py", bytes([each]) * 2_000)]) for each in b"abcd"]
    stores = []
    left, busy = tmp_path / ".unpacking-old", tmp_path / ".unpacking-new"
    left.mkdir()
    busy.mkdir()
    os.utime(left, (1, 1))
    for bundle in bundles[:2]:
        put(client, bundle)
        stores.append(store_of(tmp_path, client, EVERY, UNSIGNED))
        stores[-1].folders(bundle_reference(bundle.digest, bundle.objective))
    # The first is not used any more.
    stores[0].close()
    for bundle in bundles[2:]:
        put(client, bundle)
        store_of(tmp_path, client, EVERY, UNSIGNED).folders(bundle_reference(bundle.digest, bundle.objective))
    there = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert bundles[0].digest not in there
    assert (left.exists(), busy.exists()) == (False, True)
    assert {bundles[1].digest, bundles[3].digest} <= there


def test_the_messages_of_bundles_count_as_their_files_do(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_store, "MOST_BYTES", 7_000)
    first, second = (make_bundle("train:objective", [("noise", random.Random(each).randbytes(2_000))]) for each in "ab")
    for bundle in (first, second):
        put(client, bundle)
        store = store_of(tmp_path, client, EVERY, UNSIGNED)
        store.folders(bundle_reference(bundle.digest, bundle.objective))
        store.close()
    assert [path.name for path in tmp_path.glob("*.bundle")] == [f"{second.digest}.bundle"]
