"""Cell Tracking Challenge sequences: gold, silver, single slices, and partial annotation."""

import numpy as np
import pytest

from biounet.errors import InputError
from biounet.images import find_dataset, read_item
from biounet.images.partial import annotated_by_markers


@pytest.fixture
def sequence(tmp_path, make):
    """Frames 0 to 2; gold truth for 0 (complete) and 1 (one of three cells), silver for all."""
    for k in range(3):
        make.image(f"01/t{k:03d}.tif")
        make.labels(f"01_ST/SEG/man_seg{k:03d}.tif")
        make.labels(f"01_GT/TRA/man_track{k:03d}.tif")
    make.labels("01_GT/SEG/man_seg000.tif")
    make.labels("01_GT/SEG/man_seg001.tif", ids=(1,))
    (tmp_path / "01_GT" / "TRA" / "man_track.txt").write_text("1 0 2 0\n")
    return tmp_path


@pytest.mark.parametrize(
    ("truth", "frames"),
    [
        ("gold", ["01/t000", "01/t001"]),
        ("silver", ["01/t000", "01/t001", "01/t002"]),
        ("gold+silver", ["01/t000", "01/t001", "01/t002"]),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_frames_with_truth(sequence, truth, frames, inside):
    dataset = find_dataset([sequence / "01" if inside else sequence], truth=truth)
    assert [item.name for item in dataset.items] == frames
    assert (dataset.layout, dataset.labels_are) == ("Cell Tracking Challenge", "instances")
    partly = [item.name for item in dataset.items if read_item(item).annotated is not None]
    assert partly == ([] if truth == "silver" else ["01/t001"])


def test_cells_with_a_marker_but_no_outline_are_not_annotated(sequence):
    read = read_item(find_dataset([sequence]).items[1])
    # cells stand at x = 1..3, 5..7 and 9..11; only the first is outlined
    assert read.annotated[3].tolist() == [True] * 5 + [False] * 11
    assert np.unique(read.labels).tolist() == [0, 1]


def test_without_markers_a_gold_frame_is_annotated_all_over(sequence):
    (sequence / "01_GT" / "TRA" / "man_track001.tif").unlink()
    assert read_item(find_dataset([sequence]).items[1]).annotated is None


def test_two_sequences(sequence, make):
    make.image("02/t0007.tif")
    make.labels("02_GT/SEG/man_seg0007.tif")
    names = [item.name for item in find_dataset([sequence]).items]
    assert names == ["01/t000", "01/t001", "02/t0007"]
    names = [item.name for item in find_dataset([sequence / "02", sequence / "01"]).items]
    assert names == ["02/t0007", "01/t000", "01/t001"]


def test_single_slices_of_volumes(tmp_path, make):
    make.image("01/t004.tif", (5, 12, 16))
    one = make.labels("01_GT/SEG/man_seg_004_001.tif", ids=(1,))
    two = make.labels("01_GT/SEG/man_seg_004_003.tif", ids=(1, 2))
    make.labels("01_GT/TRA/man_track004.tif", ids=(7, 8), shape=(5, 12, 16))
    # in slice 1 only the first cell is outlined, at x = 1..3; the second stands at x = 5..7
    dataset = find_dataset([tmp_path])
    assert dataset.axes == "ZYX"
    read = read_item(dataset.items[0])
    assert read.labels.shape == (5, 12, 16)
    np.testing.assert_array_equal(read.labels[1], one)
    np.testing.assert_array_equal(read.labels[3], two)
    assert read.annotated[3].all()
    assert read.annotated[1, 3].tolist() == [True] * 5 + [False] * 11
    assert not read.annotated[[0, 2, 4]].any()


def test_single_slices_without_markers(tmp_path, make):
    make.image("01/t004.tif", (5, 12, 16))
    make.labels("01_GT/SEG/man_seg_004_001.tif")
    read = read_item(find_dataset([tmp_path]).items[0])
    assert read.annotated.all(axis=(1, 2)).tolist() == [False, True, False, False, False]
    assert not read.annotated[[0, 2, 3, 4]].any()


def test_what_is_asked_for_goes_before_the_layout(sequence):
    assert find_dataset([sequence], labels_are="mask").labels_are == "mask"


def test_whole_volumes(tmp_path, make):
    make.image("01/t000.tif", (5, 12, 16))
    truth = make.labels("01_GT/SEG/man_seg000.tif", shape=(5, 12, 16))
    read = read_item(find_dataset([tmp_path]).items[0])
    np.testing.assert_array_equal(read.labels, truth)
    assert read.annotated is None


@pytest.mark.parametrize(
    ("change", "truth", "found"),
    [
        (lambda s: (s / "01" / "t001.tif").unlink(), "gold", r"label with no image.*man_seg001"),
        (lambda s: (s / "01_ST" / "SEG").rename(s / "gone"), "silver", "no silver truth"),
        (
            lambda s: (s / "01_GT" / "SEG" / "man_seg001.tif").rename(
                s / "01_GT" / "SEG" / "man_seg_000_001.tif"
            ),
            "gold",
            "whole frame 0 and of its slices",
        ),
        (
            lambda s: (s / "01_GT" / "SEG" / "man_seg001.tif").rename(
                s / "01_GT" / "SEG" / "man_seg_001_001.tif"
            ),
            "gold",
            "one slice of a flat image",
        ),
    ],
)
def test_mistakes(sequence, change, truth, found):
    change(sequence)
    with pytest.raises(InputError, match=found):
        find_dataset([sequence], truth=truth)


def test_a_slice_that_is_not_there(tmp_path, make):
    make.image("01/t000.tif", (5, 12, 16))
    make.labels("01_GT/SEG/man_seg_000_005.tif")
    with pytest.raises(InputError, match="slice 5 of 01/t000, which has 5 slices"):
        find_dataset([tmp_path])


def brute_force(labels, markers, size):
    """For each pixel, the distances to every labelled pixel and every pixel of missing cells."""
    missing = np.zeros(labels.shape, bool)
    for marker in np.unique(markers[markers > 0]):
        if (labels[markers == marker] > 0).mean() <= 0.5:
            missing |= markers == marker
    if not missing.any():
        return None

    def nearest(mask):
        points = np.argwhere(mask) * size
        grid = np.stack(np.indices(labels.shape), axis=-1) * size
        if not len(points):
            return np.full(labels.shape, np.inf)
        return np.sqrt(((grid[..., None, :] - points) ** 2).sum(axis=-1)).min(axis=-1)

    return nearest(missing) >= nearest(labels > 0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(14, 11), (5, 8, 9)])
def test_against_brute_force(seed, shape):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    markers = np.zeros(shape, np.int32)
    for k in range(1, 6):
        corner = [rng.integers(0, n - 2) for n in shape]
        box = tuple(slice(c, c + 2) for c in corner)
        markers[box] = k
        if rng.random() < 0.5:
            labels[box] = k
    size = (1.0, 1.0, 1.0)[: len(shape)] if seed % 2 else (3.0, 1.0, 0.5)[: len(shape)]
    expected = brute_force(labels, markers, np.array(size))
    found = annotated_by_markers(labels, markers, size)
    if expected is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, expected)


def test_nothing_is_annotated_when_no_cell_is_outlined():
    markers = np.zeros((5, 5), np.int32)
    markers[2, 2] = 1
    assert not annotated_by_markers(np.zeros((5, 5), np.int32), markers).any()
