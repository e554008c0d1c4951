"""Results in the challenges' forms, and sequences read back."""

import numpy as np
import pytest
import tifffile

from biounet.errors import InputError
from biounet.images import (
    frame_number,
    read_annotated,
    read_sequence,
    write_isbi2012,
    write_linked_result,
)

FRAMES = [
    np.array([[0, 1, 1], [2, 0, 0]], np.uint16),
    np.array([[1, 1, 0], [0, 0, 0]], np.uint16),
    np.array([[3, 0, 4], [0, 0, 0]], np.uint16),
]


@pytest.mark.parametrize("n_digits", [3, 4])
def test_frames_and_tracks(tmp_path, n_digits):
    written = []

    def frames():
        for number, labels in enumerate(FRAMES, start=8):
            yield number, labels
            written.append(number)

    def tracks():
        assert written == [8, 9, 10]
        return [(1, 8, 9, 0), (2, 8, 8, 0), (3, 10, 10, 1), (4, 10, 10, 1)]

    result = tmp_path / "01_RES"
    write_linked_result(result, frames(), tracks, n_digits)
    names = sorted(p.name for p in result.iterdir())
    assert names == [f"mask{k:0{n_digits}d}.tif" for k in (8, 9, 10)] + ["res_track.txt"]
    assert (result / "res_track.txt").read_text() == "1 8 9 0\n2 8 8 0\n3 10 10 1\n4 10 10 1\n"
    back = dict(read_sequence(result))
    assert list(back) == [8, 9, 10]
    for found, labels in zip(back.values(), FRAMES, strict=True):
        np.testing.assert_array_equal(found, labels)
        assert found.dtype == np.uint16


def test_volumes(tmp_path):
    volume = np.zeros((4, 5, 6), np.uint16)
    volume[1:3, 2:4, 2:4] = 1
    write_linked_result(tmp_path / "02_RES", [(0, volume)], lambda: [(1, 0, 0, 0)])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "02_RES" / "mask000.tif"), volume)


def test_results_are_replaced_whole(tmp_path):
    for numbers in ((0, 1), (0,)):
        write_linked_result(tmp_path / "01_RES", [(n, FRAMES[0]) for n in numbers], list)
    assert [n for n, _ in read_sequence(tmp_path / "01_RES")] == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["01_RES"]


def test_no_frames_leave_no_result(tmp_path):
    with pytest.raises(InputError, match="no frames for"):
        write_linked_result(tmp_path / "01_RES", [], list)
    assert list(tmp_path.iterdir()) == []


def test_isbi_2012_stack(tmp_path):
    stack = np.random.default_rng(0).random((5, 12, 16))
    write_isbi2012(tmp_path / "x.tif", stack)
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        assert len(tiff.pages) == 5
        assert tiff.pages[0].bitspersample == 32
        np.testing.assert_array_equal(tiff.asarray(), stack.astype(np.float32))


@pytest.mark.parametrize(
    ("stack", "found"),
    [
        (np.zeros((12, 16)), "shape"),
        (np.full((2, 4, 4), 255), "values from 255 to 255"),
        (np.full((2, 4, 4), -0.1), "values from -0.1"),
        (np.full((2, 4, 4), np.nan), "values from nan"),
    ],
)
def test_stacks_that_are_no_probabilities(tmp_path, stack, found):
    with pytest.raises(InputError, match=found):
        write_isbi2012(tmp_path / "x.tif", stack)
    assert list(tmp_path.iterdir()) == []


def test_truth_and_frames_are_sequences(make, tmp_path):
    frame = make.image("01/t0007.tif")
    truth = make.labels("01_GT/SEG/man_seg0007.tif")
    marker = make.labels("01_GT/TRA/man_track0007.tif", ids=(4,))
    (tmp_path / "01_GT" / "TRA" / "man_track.txt").write_text("4 7 7 0\n")
    for folder, expected in (("01", frame), ("01_GT", truth), ("01_GT/TRA", marker)):
        ((number, pixels),) = read_sequence(tmp_path / folder)
        assert number == 7
        np.testing.assert_array_equal(pixels, expected)


def test_a_truth_of_single_slices(make, tmp_path):
    """man_seg_T_Z.tif: slice Z of frame T; whole frames stand beside them."""
    five = make.labels("01_GT/SEG/man_seg_007_005.tif")
    two = make.labels("01_GT/SEG/man_seg_007_002.tif", ids=(8,))
    whole = make.labels("01_GT/SEG/man_seg0003.tif")
    (first, frame), (second, slices) = read_annotated(tmp_path / "01_GT")
    assert (first, second) == (3, 7)
    np.testing.assert_array_equal(frame, whole)
    assert list(slices) == [2, 5]
    np.testing.assert_array_equal(slices[2], two)
    np.testing.assert_array_equal(slices[5], five)
    with pytest.raises(InputError, match=r"labels of single slices.*frame 7"):
        list(read_sequence(tmp_path / "01_GT"))
    make.labels("01_GT/SEG/man_seg007.tif")
    with pytest.raises(InputError, match="two files for frame 7"):
        list(read_annotated(tmp_path / "01_GT"))


def test_folders_that_hold_no_sequence(make, tmp_path):
    with pytest.raises(InputError, match="no folder"):
        list(read_sequence(tmp_path / "01_RES"))
    make.image("01_RES/image.tif")
    with pytest.raises(InputError, match="no frames in"):
        list(read_sequence(tmp_path / "01_RES"))
    make.labels("01_RES/mask001.tif")
    make.labels("01_RES/mask0001.tif")
    with pytest.raises(InputError, match="two files for frame 1"):
        list(read_sequence(tmp_path / "01_RES"))


def test_frame_numbers(tmp_path):
    assert frame_number(tmp_path / "t0012.tif") == (12, 4)
    assert frame_number(tmp_path / "mask000.tif") == (0, 3)
    assert frame_number(tmp_path / "cells.tif") is None


def test_golden_sequences_are_read(shared):
    truth = dict(read_sequence(shared / "golden" / "ctc" / "01_GT"))
    result = dict(read_sequence(shared / "golden" / "ctc" / "01_RES"))
    assert truth.keys() <= result.keys()
    assert all(truth[k].shape == result[k].shape for k in truth)
