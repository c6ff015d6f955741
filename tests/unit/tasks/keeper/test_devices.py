"""Which GPUs there are, and what each slot's trainer may see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.keeper.devices import device_name, grouped, slot_count, slot_environment, visible_gpus
from tasks.keeper.slot import SlotTable


def make_nodes(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_gpus_are_counted_as_cuda_counts_them(tmp_path: Path) -> None:
    dev = make_nodes(tmp_path, "nvidia3", "nvidia11", "nvidiactl", "nvidia-uvm", "sda")
    assert visible_gpus({}, dev) == ("0", "1")
    assert visible_gpus({}, tmp_path / "nowhere") == ()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [("1,3", ("1", "3")), ("GPU-5a2, GPU-7", ("GPU-5a2", "GPU-7")), ("", ()), ("-1", ())],
)
def test_what_the_worker_was_given_wins(tmp_path: Path, chosen: str, expected: tuple[str, ...]) -> None:
    dev = make_nodes(tmp_path, "nvidia0", "nvidia1", "nvidia2", "nvidia3")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": chosen}, dev) == expected


def test_each_slot_sees_its_own_gpu_and_no_server() -> None:
    environ = {
        "PATH": "/bin",
        "ORCHESTRATOR_REDIS_URL": "redis://:secret@host",
        "ORCHESTRATOR_STORAGE_URL": "postgresql://me:secret@host/x",
        "ORCHESTRATOR_METRICS_PASSWORD": "secret",
        "ORCHESTRATOR_NOTIFY_KEY": "secret",
        "CELERY_BROKER_URL": "redis://:secret@host",
        "FLOWER_BASIC_AUTH": "me:secret",
        "ORCHESTRATOR_SIGNING_KEY": "secret",
        "ORCHESTRATOR_SIGNING_KEY_FILE": "/secret",
        "ORCHESTRATOR_WHAT_IS_TO_COME": "secret",
        "REDISCLI_AUTH": "secret",
        "PGPASSWORD": "secret",
        "ORCHESTRATOR_OBJECTIVE_PATH": "/code",
        "ORCHESTRATOR_OBJECTIVES": "mine",
        "CUDA_VISIBLE_DEVICES": "4,7",
    }
    seen = [slot_environment(index, 4, ("4", "7"), environ) for index in range(4)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in seen] == ["4", "7", "4", "7"]
    for each in seen:
        assert "secret" not in "".join(each.values())
        assert each["PATH"] == "/bin"
        assert (each["ORCHESTRATOR_OBJECTIVE_PATH"], each["ORCHESTRATOR_OBJECTIVES"]) == ("/code", "mine")
        assert int(each["OMP_NUM_THREADS"]) >= 1
    assert device_name(seen[1], ("4", "7")) == "gpu 7"


CLOUDS = {
    "AWS_SECRET_ACCESS_KEY": "aws",
    "AWS_PROFILE": "me",
    "GOOGLE_APPLICATION_CREDENTIALS": "/gcp.json",
    "AZURE_STORAGE_KEY": "azure",
    "FSSPEC_S3_SECRET": "fsspec",
}


@pytest.mark.parametrize("variable", ["ORCHESTRATOR_CHECKPOINT_URL", "ORCHESTRATOR_ARTIFACT_URL"])
@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        (None, ""),
        ("", ""),
        ("/srv/shared", ""),
        ("file:///srv/shared", ""),
        ("s3://bucket/x", "AWS_ FSSPEC_"),
        (" S3A://bucket/x ", "AWS_ FSSPEC_"),
        ("gs://bucket/x", "GOOGLE_ FSSPEC_"),
        ("abfs://bucket/x", "AZURE_ FSSPEC_"),
        ("sftp://me:secret@host/x", "FSSPEC_"),
    ],
)
def test_user_code_holds_no_key_to_what_is_kept_and_keeps_those_to_its_data(
    variable: str, url: str | None, hidden: str
) -> None:
    given = CLOUDS if url is None else CLOUDS | {variable: url}
    seen = slot_environment(0, 1, (), given)
    expected = {key for key in CLOUDS if not key.startswith(tuple(hidden.split()))}
    assert seen.keys() - {"OMP_NUM_THREADS"} == expected


def test_a_trial_may_have_several_gpus() -> None:
    groups = grouped(("4", "GPU-a", "6", "7"), 2)
    assert groups == ("4,GPU-a", "6,7")
    assert slot_count(groups, 1) == 2
    seen = [slot_environment(index, 2, groups, {}) for index in range(2)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in seen] == ["4,GPU-a", "6,7"]
    assert device_name(seen[1], groups) == "gpu 6,7"
    assert grouped(("0", "1"), 1) == ("0", "1")
    assert grouped((), 1) == ()


@pytest.mark.parametrize(
    ("gpus", "per_trial", "problem"),
    [((), 2, "there is no GPU"), (("0", "1", "2"), 2, "of 3 GPUs some would be left over"), (("0",), 0, "at least 1")],
)
def test_gpus_are_shared_out_without_a_rest(gpus: tuple[str, ...], per_trial: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        grouped(gpus, per_trial)


def test_without_a_gpu_nothing_is_said_about_one() -> None:
    environment = slot_environment(0, 1, (), {"OMP_NUM_THREADS": "5"})
    assert environment == {"OMP_NUM_THREADS": "5"}
    assert device_name(environment, ()) == "cpu"


def test_slots_follow_the_gpus() -> None:
    assert slot_count(("0", "1"), 3) == 6
    assert 1 <= slot_count((), 1) <= 4


def test_slots_know_who_is_busy_and_whether_the_worker_shuts_down() -> None:
    slots = SlotTable(3)
    assert (slots.busy(), slots.draining) == (0, False)
    slots.set_busy(0, True)
    slots.set_busy(2, True)
    slots.set_busy(2, True)
    assert slots.busy() == 2
    slots.set_busy(0, False)
    slots.drain()
    assert (slots.busy(), slots.draining) == (1, True)
