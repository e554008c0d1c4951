"""Strokes are on disk before they are acknowledged, and none is lost."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.dataset import read_item
from biounet.images.layouts.find import find_dataset
from biounet.images.writing import write_image
from biounet.studio.annotation import (
    Annotation,
    OutdatedError,
    apply_patches,
    open_annotation,
    set_rest,
)
from biounet.studio.folder import open_folder
from biounet.studio.patches import KEEP, NOT_ANNOTATED, Patch

SHAPE = (60, 80)


@pytest.fixture
def folder(write_images: Callable[..., Path], tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")


def opened(folder: Path, name: str = "a.tif") -> Annotation:
    return open_annotation(open_folder(folder), name, SHAPE, None)


def square(value: int, y: int = 5, x: int = 5, side: int = 10) -> Patch:
    return Patch(y, x, np.full((side, side), value, np.uint16))


def on_disk(folder: Path, name: str = "a") -> NDArray[Any]:
    return np.asarray(tifffile.imread(folder / "labels" / f"{name}_labels.tif"))


def test_the_first_stroke_makes_the_file(folder: Path) -> None:
    annotation = opened(folder)
    assert not (folder / "labels").exists()
    assert apply_patches(annotation, [square(1)], 1) == 2
    labels = on_disk(folder)
    assert (labels[5:15, 5:15] == 1).all()
    assert (labels == NOT_ANNOTATED).sum() == 60 * 80 - 100
    assert not list((folder / "labels").glob(".tmp*"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0), st.integers(1, 8))
def test_the_file_is_what_was_painted(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n_strokes: int
) -> None:
    folder = tmp_path_factory.mktemp("data")
    tifffile.imwrite(folder / "a.tif", np.zeros(SHAPE, np.uint8))
    rng = np.random.default_rng(seed)
    annotation, expected = opened(folder), np.full(SHAPE, NOT_ANNOTATED, np.uint16)
    for version in range(1, n_strokes + 1):
        patches = []
        for _ in range(rng.integers(1, 4)):
            (y, x), (h, w) = rng.integers(0, 50, 2), rng.integers(1, 10, 2)
            values = rng.choice([0, 1, 2, 65533, NOT_ANNOTATED, KEEP], (h, w)).astype(np.uint16)
            patches.append(Patch(int(y), int(x), values))
            for i, j in np.ndindex(h, w):  # the slow way
                if values[i, j] != KEEP:
                    expected[y + i, x + j] = values[i, j]
        assert apply_patches(annotation, patches, version) == version + 1
        assert np.array_equal(on_disk(folder), expected)
    assert np.array_equal(opened(folder).labels, expected)


def test_only_the_newest_version_can_be_changed(folder: Path) -> None:
    annotation = opened(folder)
    apply_patches(annotation, [square(1)], 1)
    for wrong in (0, 1, 3):
        with pytest.raises(OutdatedError):
            apply_patches(annotation, [square(2)], wrong)
        with pytest.raises(OutdatedError):
            set_rest(annotation, True, wrong)
    assert (on_disk(folder)[5:15, 5:15] == 1).all()


def test_nothing_changes_when_saving_fails(folder: Path) -> None:
    annotation = opened(folder)
    apply_patches(annotation, [square(1)], 1)
    folder.rename(folder.with_name("gone"))
    before = annotation.labels.copy()
    for _ in range(2):
        with pytest.raises(InputError, match="no folder"):
            apply_patches(annotation, [square(2), square(3, 8, 8)], 2)
        with pytest.raises(InputError, match="no folder"):
            set_rest(annotation, True, 2)
        assert np.array_equal(annotation.labels, before)
        assert annotation.versions == [2]
    assert not folder.exists()  # not made anew where somebody took it away
    folder.with_name("gone").rename(folder)
    assert apply_patches(annotation, [square(2)], 2) == 3
    assert (on_disk(folder)[5:15, 5:15] == 2).all()


def test_a_full_disk_is_told_and_the_file_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotation = opened(folder)
    apply_patches(annotation, [square(1)], 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tifffile, "imwrite", full)
        with pytest.raises(InputError, match="no space left on the disk"):
            apply_patches(annotation, [square(2)], 2)
    assert (on_disk(folder)[5:15, 5:15] == 1).all()
    assert [p.name for p in (folder / "labels").iterdir() if p.name.startswith(".")] == []
    assert apply_patches(annotation, [square(2)], 2) == 3


def test_labels_that_were_deleted_come_back_with_the_next_stroke(folder: Path) -> None:
    annotation = opened(folder)
    apply_patches(annotation, [square(1)], 1)
    for path in (folder / "labels").iterdir():
        path.unlink()
    (folder / "labels").rmdir()
    apply_patches(annotation, [square(2, 30, 30)], 2)
    assert set(np.unique(on_disk(folder))) == {1, 2, NOT_ANNOTATED}


def test_a_change_by_another_program_is_not_painted_over(folder: Path) -> None:
    annotation = opened(folder)
    apply_patches(annotation, [square(1)], 1)
    other = on_disk(folder)
    other[40:50, 40:50] = 9
    path = folder / "labels/a_labels.tif"
    write_image(path, other, "YX")
    os.utime(path, ns=(1, 1))
    with pytest.raises(OutdatedError):
        apply_patches(annotation, [square(2, 0, 0)], 2)
    assert apply_patches(annotation, [square(2, 0, 0)], annotation.versions[0]) == 4
    assert {1, 2, 9} <= set(np.unique(on_disk(folder)))


def test_the_rest_is_background_and_back(folder: Path) -> None:
    annotation = opened(folder)
    apply_patches(annotation, [square(1), square(0, 30, 30)], 1)
    before = on_disk(folder)
    set_rest(annotation, True, 2)
    assert set(np.unique(on_disk(folder))) == {0, 1}
    assert opened(folder).rest == [True]
    apply_patches(annotation, [square(7, 50, 50)], 3)
    again = opened(folder)  # as after a restart
    set_rest(again, False, 1)
    expected = before.copy()
    expected[50:60, 50:60] = 7
    assert np.array_equal(on_disk(folder), expected)
    assert opened(folder).rest == [False]
    assert not list((folder / "labels").glob(".*"))


def test_a_switch_that_broke_off_is_not_on(folder: Path) -> None:
    annotation = opened(folder)
    apply_patches(annotation, [square(1)], 1)
    write_image(annotation.rest_path, annotation.labels == NOT_ANNOTATED, "YX")
    assert opened(folder).rest == [False]


@pytest.mark.parametrize("nested", [False, True])
def test_training_finds_the_annotation(
    write_images: Callable[..., Path], tmp_path: Path, nested: bool
) -> None:
    folder = tmp_path / "data"
    write_images(folder / "images" if nested else folder, 3)
    annotation = opened(folder)
    apply_patches(annotation, [square(1), square(3, 20, 20), square(0, 40, 40)], 1)
    other = opened(folder, "b.tif")
    apply_patches(other, [square(1)], 1)
    set_rest(other, True, 2)
    found = find_dataset([folder])
    assert found.labels_are == "instances"
    assert len(found.items) == 2
    first, second = (read_item(item) for item in found.items)
    assert first.annotated is not None
    assert np.array_equal(first.annotated, annotation.labels != NOT_ANNOTATED)
    assert set(np.unique(first.labels)) == {0, 1, 3}
    assert second.annotated is None
    assert (second.labels == 1).sum() == 100


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((60, 81), np.uint8), "60 x 81 px"),
        (np.full(SHAPE, NOT_ANNOTATED, np.uint16), "label value 65535"),  # what is it here?
        (np.full(SHAPE, 70000, np.int32), "label value 70000"),
        (np.full(SHAPE, 0.5, np.float32), "not whole numbers"),
    ],
)
def test_labels_of_others_that_cannot_be_edited(
    folder: Path, labels: NDArray[Any], words: str
) -> None:
    (folder / "labels").mkdir()
    write_image(folder / "labels/a_labels.tif", labels, "YX")
    with pytest.raises(InputError, match=words):
        opened(folder)


def test_labels_of_others_are_gone_on_with(folder: Path) -> None:
    (folder / "labels").mkdir()
    labels = np.zeros(SHAPE, np.int32)
    labels[:5] = 4
    write_image(folder / "labels/a_labels.tif", labels, "YX")
    annotation = opened(folder)
    apply_patches(annotation, [square(5, 20, 20)], 1)
    labels[20:30, 20:30] = 5
    assert np.array_equal(on_disk(folder), labels)


def test_labels_that_mean_something_else_are_left_alone(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "labels/biounet.json").write_text('{"labels_are": "classes", "ignore_value": 255}')
    write_image(folder / "labels/a_labels.tif", np.zeros(SHAPE, np.uint8), "YX")
    with pytest.raises(InputError, match="something else"):
        opened(folder)


STACK = (3, 40, 50)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_image(tmp_path / "s.tif", rng.integers(0, 255, STACK).astype(np.uint8), "ZYX")
    return tmp_path


def opened_stack(folder: Path) -> Annotation:
    return open_annotation(open_folder(folder), "s.tif", STACK, (0.5, 0.2, 0.2), "ZYX")


def test_a_stack_is_painted_plane_by_plane_into_one_file(stack: Path) -> None:
    annotation = opened_stack(stack)
    assert apply_patches(annotation, [square(1)], 1, plane=2) == 2
    assert apply_patches(annotation, [square(2, 20, 20)], 1, plane=0) == 2
    assert annotation.versions == [2, 1, 2]
    with pytest.raises(OutdatedError):
        apply_patches(annotation, [square(3)], 1, plane=2)
    expected = np.full(STACK, NOT_ANNOTATED)
    expected[2, 5:15, 5:15], expected[0, 20:30, 20:30] = 1, 2
    with tifffile.TiffFile(stack / "labels/s_labels.tif") as tiff:
        assert tiff.series[0].axes == "ZYX"
        assert tiff.imagej_metadata["spacing"] == 0.5
        assert np.array_equal(tiff.asarray(), expected)
    again = opened_stack(stack)
    assert np.array_equal(again.labels, expected)
    assert again.last_id == 2


def test_a_new_cell_never_gets_the_id_of_another_plane(stack: Path) -> None:
    annotation = opened_stack(stack)
    apply_patches(annotation, [square(1)], 1, plane=0, known_id=0)
    with pytest.raises(OutdatedError):  # another page, which did not hear of cell 1
        apply_patches(annotation, [square(1)], 1, plane=1, known_id=0)
    assert (on_disk(stack, "s")[1] == NOT_ANNOTATED).all()
    apply_patches(annotation, [square(2)], 1, plane=1, known_id=1)
    apply_patches(annotation, [square(1, 20, 20)], 2, plane=1, known_id=2)  # cell 1 goes on here
    assert annotation.last_id == 2


def test_the_rest_is_background_in_one_plane_only(stack: Path) -> None:
    annotation = opened_stack(stack)
    apply_patches(annotation, [square(1)], 1, plane=0)
    apply_patches(annotation, [square(2)], 1, plane=1)
    set_rest(annotation, True, 2, plane=0)
    labels = on_disk(stack, "s")
    assert [NOT_ANNOTATED in plane for plane in labels] == [False, True, True]
    apply_patches(annotation, [Patch(0, 0, np.full(STACK[1:], 9, np.uint16))], 1, plane=2)
    assert opened_stack(stack).rest == [True, False, False]  # painted whole is not switched
    set_rest(annotation, True, 2, plane=1)
    set_rest(annotation, False, 3, plane=0)
    assert opened_stack(stack).rest == [False, True, False]
    assert (on_disk(stack, "s")[0] == NOT_ANNOTATED).sum() == 40 * 50 - 100
    set_rest(annotation, False, 3, plane=1)
    assert not list((stack / "labels").glob(".*"))


def test_a_stack_of_labels_without_names_of_its_axes(stack: Path) -> None:
    (stack / "labels").mkdir()
    labels = np.zeros(STACK, np.uint16)
    labels[1, :5] = 7
    tifffile.imwrite(stack / "labels/s_labels.tif", labels, photometric="minisblack")
    annotation = opened_stack(stack)
    assert np.array_equal(annotation.labels, labels)
    assert annotation.last_id == 7
    tifffile.imwrite(stack / "labels/s_labels.tif", labels[:2], photometric="minisblack")
    with pytest.raises(InputError, match="labels of 2 x 40 x 50 px"):
        opened_stack(stack)
