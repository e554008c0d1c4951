"""Results in the challenges' forms, and sequences read back."""

import numpy as np
import pytest
import tifffile

from biounet.errors import InputError
from biounet.images import (
    frame_number,
    read_sequence,
    read_slices,
    write_isbi2012,
    write_tracking_result,
)

FRAMES = [np.array([[0, 5, 5], [9, 0, 0]]), np.zeros((2, 3), int), np.array([[7, 7, 0], [0, 1, 1]])]


@pytest.mark.parametrize("n_digits", [3, 4])
def test_every_object_of_every_frame_is_a_track(tmp_path, n_digits):
    frames = ((k + 8, frame) for k, frame in enumerate(FRAMES))
    result = write_tracking_result(tmp_path, "01", frames, n_digits)
    assert result == tmp_path / "01_RES"
    names = sorted(p.name for p in result.iterdir())
    assert names == [f"mask{k:0{n_digits}d}.tif" for k in (8, 9, 10)] + ["res_track.txt"]
    assert (result / "res_track.txt").read_text() == "1 8 8 0\n2 8 8 0\n3 10 10 0\n4 10 10 0\n"
    back = dict(read_sequence(result))
    assert list(back) == [8, 9, 10]
    assert back[8].tolist() == [[0, 1, 1], [2, 0, 0]]
    assert back[9].max() == 0
    assert back[10].tolist() == [[4, 4, 0], [0, 3, 3]]
    assert {labels.dtype for labels in back.values()} == {np.dtype(np.uint16)}


def test_volumes(tmp_path):
    volume = np.zeros((4, 5, 6), np.int32)
    volume[1:3, 2:4, 2:4] = 1
    result = write_tracking_result(tmp_path, "02", [(0, volume)])
    np.testing.assert_array_equal(tifffile.imread(result / "mask000.tif"), volume)


def test_results_are_replaced_whole(tmp_path):
    write_tracking_result(tmp_path, "01", [(0, FRAMES[0]), (1, FRAMES[0])])
    write_tracking_result(tmp_path, "01", [(0, FRAMES[2])])
    assert [n for n, _ in read_sequence(tmp_path / "01_RES")] == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["01_RES"]


@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ([], "no frames"),
        ([(0, np.arange(2**16 + 5).reshape(3, -1))], "more than 65535 objects in 01"),
    ],
)
def test_results_that_cannot_be_written(tmp_path, frames, found):
    with pytest.raises(InputError, match=found):
        write_tracking_result(tmp_path, "01", frames)
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


def test_single_slices(make, tmp_path):
    truth = make.labels("01_GT/SEG/man_seg_007_002.tif")
    ((frame, z, labels),) = read_slices(tmp_path / "01_GT")
    assert (frame, z) == (7, 2)
    np.testing.assert_array_equal(labels, truth)
    with pytest.raises(InputError, match="labels of single slices"):
        list(read_sequence(tmp_path / "01_GT"))


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
