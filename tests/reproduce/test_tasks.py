"""How images are divided: by block or sequence, never neighbours at random."""

import re
from pathlib import Path

import pytest

from biounet.errors import InputError
from biounet.images.dataset import Item
from biounet.images.labels import LabelMeaning
from biounet.images.layouts.find import find_dataset
from biounet.reproduce.tasks import TASKS, Items, TaskName


def items(*names: str) -> Items:
    return tuple(Item(name, (8, 8), (), (), LabelMeaning("instances")) for name in names)


def numbered(n: int, form: str = "{:03d}") -> Items:
    return items(*(form.format(k) for k in range(n)))


def names(part: Items) -> list[str]:
    return [item.name for item in part]


def test_slices_of_a_stack_are_two_blocks() -> None:
    division = TASKS["isbi2012"].divide(numbered(30, "{:02d}"))
    assert names(division.training) == [f"{k:02d}" for k in range(20)]
    assert names(division.scored) == [f"{k:02d}" for k in range(20, 30)]
    assert "20 to 29 (10)" in division.measured_on


def test_frames_of_one_sequence_leave_a_gap() -> None:
    gold = items(*(f"01/t{k:03d}" for k in (2, 5, 21, 31, 33, 34, 39, 54, 67)))
    division = TASKS["dic-hela"].divide(gold)
    assert names(division.training) == ["01/t002", "01/t005", "01/t021", "01/t031"]
    assert names(division.scored) == ["01/t039", "01/t054", "01/t067"]


@pytest.mark.parametrize("task", ["dic-hela", "phc-u373"])
def test_two_sequences_are_not_mixed(task: TaskName) -> None:
    division = TASKS[task].divide(items("01/t001", "01/t060", "02/t002", "02/t003"))
    assert names(division.training) == ["01/t001", "01/t060"]
    assert names(division.scored) == ["02/t002", "02/t003"]


def test_fields_are_divided_alternately() -> None:
    division = TASKS["usiigaci"].divide(numbered(20))
    assert names(division.training) == [f"{k:03d}" for k in range(0, 20, 2)]
    assert names(division.scored) == [f"{k:03d}" for k in range(1, 20, 2)]


def test_nuclei_are_drawn_with_a_fixed_seed() -> None:
    division, again = (TASKS["nuclei"].divide(numbered(120)) for _ in range(2))
    assert division == again
    assert len(division.training) == 50
    assert sorted([*names(division.training), *names(division.scored)]) == names(numbered(120))
    assert names(division.training) != names(numbered(50))


def test_no_patient_is_on_both_sides() -> None:
    slices = items(*(f"ID_{k // 4:04d}_Z_{k:04d}" for k in range(30)))
    division = TASKS["lungs"].divide(slices)
    patients = [
        {re.match(r"ID_\d+", name)[0] for name in names(part)}  # type: ignore[index]
        for part in (division.training, division.scored)
    ]
    assert not patients[0] & patients[1]
    assert len(division.training) == 20
    assert "other patients" in division.measured_on
    unknown = TASKS["lungs"].divide(numbered(30))
    assert (len(unknown.training), "patients not known" in unknown.measured_on) == (20, True)


def test_a_patient_is_kept_whole() -> None:
    slices = items(*(f"ID_{k // 7:04d}_Z_{k:04d}" for k in range(30)))
    assert len(TASKS["lungs"].divide(slices).training) == 21


@pytest.mark.parametrize(
    ("task", "given", "told"),
    [
        ("phc-u373", items("01/t001", "01/t002"), "no annotated frame of sequence 02"),
        ("dic-hela", items("01/t001", "01/t002"), "gold frames 01/t001, 01/t002"),
        ("isbi2012", numbered(1), "1 annotated slices"),
        ("nuclei", numbered(50), "50 annotated images"),
        ("lungs", items("ID_0000_Z_1", "ID_0000_Z_2", "ID_0000_Z_3"), "3 annotated slices"),
    ],
)
def test_too_little_is_refused(task: TaskName, given: Items, told: str) -> None:
    with pytest.raises(InputError, match=told):
        TASKS[task].divide(given)


@pytest.mark.parametrize(
    ("task", "folder", "n_training", "n_scored"),
    [
        ("isbi2012", "isbi2012", 20, 10),
        ("dic-hela", "DIC-C2DH-HeLa", 4, 3),
        ("usiigaci", "usiigaci", 10, 10),
        ("lungs", "lungs_64px", 140, 70),
    ],
)
def test_real_sets_are_understood(
    shared: Path, task: TaskName, folder: str, n_training: int, n_scored: int
) -> None:
    dataset = find_dataset([shared / "data" / folder], labels_are=TASKS[task].labels_are)
    division = TASKS[task].divide(dataset.items)
    assert (len(division.training), len(division.scored)) == (n_training, n_scored)
