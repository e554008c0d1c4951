"""SEG and DET against the challenge's golden values and against py-ctcmetrics."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ctc_metrics.metrics import det, seg
from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations, match
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biounet.errors import InputError
from biounet.metrics import MetricWarning, det_score, match_frame, match_frames, seg_score

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def golden() -> list[tuple[dict[str, str], np.ndarray, np.ndarray]]:
    with np.load(GOLDEN / "ctc.npz") as arrays:
        truth, result = arrays["truth"], arrays["result"]
    with (GOLDEN / "ctc_expected_seg_det.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [(row, truth[int(row["gt_img"])], result[int(row["res_img"])]) for row in rows]


def test_golden_frames(golden: list[tuple[dict[str, str], np.ndarray, np.ndarray]]) -> None:
    assert len(golden) == 49
    for row, truth, result in golden:
        found = match_frame(int(row["frame"]), truth, result)
        # the file gives six decimals
        assert seg_score([found]) == pytest.approx(float(row["SEG"]), abs=5.1e-7)
        assert det_score([found]) == pytest.approx(float(row["DET"]), abs=5.1e-7)
        assert (found.n_splits, found.n_missed, found.n_extra) == (
            int(row["NS"]),
            int(row["FN"]),
            int(row["FP"]),
        )
        assert len(found.truth) == int(row["n_gt"])


def test_golden_sequence(golden: list[tuple[dict[str, str], np.ndarray, np.ndarray]]) -> None:
    """The whole sequence counts all objects together, frames of many objects for more."""
    matches = match_frames(
        ((k, truth) for k, (_, truth, _) in enumerate(golden)),
        ((k, result) for k, (_, _, result) in enumerate(golden)),
    )
    n = [int(row["n_gt"]) for row, _, _ in golden]
    expected = np.average([float(row["SEG"]) for row, _, _ in golden], weights=n)
    matches = list(matches)
    assert seg_score(matches) == pytest.approx(expected, abs=5.1e-7)
    cost = sum(5 * int(r["NS"]) + 10 * int(r["FN"]) + int(r["FP"]) for r, _, _ in golden)
    assert det_score(matches) == pytest.approx(1 - cost / (10 * sum(n)), abs=1e-12)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Blocks of labels of two sizes: objects match, split, merge, vanish and appear."""
    n = draw(st.integers(1, 4))

    def frames(block: int) -> list[np.ndarray]:
        size = 12 // block
        arrays = hnp.arrays(np.uint16, (size, size), elements=st.integers(0, 5))
        blocks = [np.kron(draw(arrays), np.ones((block, block), np.uint16)) for _ in range(n)]
        # a row of background: without any, the oracle takes the first object for it
        return [np.pad(frame, ((0, 1), (0, 0))) for frame in blocks]

    truth = frames(draw(st.sampled_from([2, 3, 4])))
    return truth, frames(draw(st.sampled_from([2, 3, 4])))


@settings(deadline=None, max_examples=60)
@given(sequences())
def test_same_as_the_oracle(
    tmp_path_factory: pytest.TempPathFactory, sequence: tuple[list[np.ndarray], list[np.ndarray]]
) -> None:
    truth, result = sequence
    if not any(frame.any() for frame in truth) or not any(frame.any() for frame in result):
        return
    folder = tmp_path_factory.mktemp("frames")
    oracle = []
    for k, (t, r) in enumerate(zip(truth, result, strict=True)):
        tifffile.imwrite(folder / f"truth{k}.tif", t)
        tifffile.imwrite(folder / f"result{k}.tif", r)
        oracle.append(match(str(folder / f"truth{k}.tif"), str(folder / f"result{k}.tif")))
    labels_truth, labels_result, mapped_truth, mapped_result, ious = zip(*oracle, strict=True)
    operations = count_acyclic_graph_correction_operations(
        None, None, labels_truth, labels_result, mapped_truth, mapped_result
    )
    found = list(match_frames(enumerate(truth), enumerate(result)))
    assert seg_score(found) == pytest.approx(seg(labels_truth, ious), abs=1e-12)
    assert det_score(found) == pytest.approx(det(**operations), abs=1e-12)
    assert sum(match.n_splits for match in found) == operations["NS"]
    assert sum(match.n_missed for match in found) == operations["FN"]
    assert sum(match.n_extra for match in found) == operations["FP"]


def test_hand_worked_frame() -> None:
    """Truth 1 and 2 lie in one result object, 3 is covered by exactly half (no match)."""
    truth = np.array([[1, 1, 1, 2, 2, 0, 3, 3]])
    result = np.array([[9, 9, 9, 9, 9, 0, 7, 0]])
    found = match_frame(4, truth, result)
    assert [(m.truth, m.result, m.iou) for m in found.matches] == [(1, 9, 3 / 5), (2, 9, 2 / 5)]
    assert (found.n_splits, found.n_missed, found.n_extra) == (1, 1, 1)
    assert seg_score([found]) == pytest.approx((3 / 5 + 2 / 5) / 3)
    assert det_score([found]) == pytest.approx(1 - (5 + 10 + 1) / 30)


def test_cells_that_nobody_annotated_cost_no_seg() -> None:
    truth, result = np.array([0, 0, 1, 1]), np.array([5, 5, 6, 6])
    assert seg_score([match_frame(0, truth, result)]) == 1
    assert det_score([match_frame(0, truth, result)]) == pytest.approx(1 - 1 / 10)


def test_det_is_never_negative() -> None:
    truth, result = np.array([1] + [0] * 30), np.arange(31)
    assert det_score([match_frame(0, truth, result)]) == 0


@settings(deadline=None, max_examples=50)
@given(sequences(), st.permutations([1, 2, 3, 4, 5]))
def test_ids_mean_nothing(
    sequence: tuple[list[np.ndarray], list[np.ndarray]], ids: list[int]
) -> None:
    truth, result = sequence
    if not any(frame.any() for frame in truth):
        return
    renamed = [np.array([0, *ids], np.uint16)[frame] for frame in result]
    found = list(match_frames(enumerate(truth), enumerate(result)))
    other = list(match_frames(enumerate(truth), enumerate(renamed)))
    assert seg_score(other) == pytest.approx(seg_score(found), abs=1e-12)
    assert det_score(other) == det_score(found)
    perfect = list(match_frames(enumerate(truth), enumerate(truth)))
    assert (seg_score(perfect), det_score(perfect)) == (1, 1)


def test_a_missing_frame_counts_as_empty_and_is_told() -> None:
    frame = np.array([[1, 1], [0, 2]])
    truth = [(3, frame), (5, frame), (7, frame)]
    with pytest.warns(MetricWarning) as told:
        found = list(match_frames(truth, [(2, frame), (3, frame), (4, frame), (6, frame)]))
    assert [str(w.message)[:32] for w in told] == ["the result lacks 2 frames (5, 7)"]
    with pytest.warns(MetricWarning, match="lacks frame 7: it counts"):
        list(match_frames(truth, [(3, frame), (5, frame)]))
    assert [match.n_missed for match in found] == [0, 2, 2]
    assert seg_score(found) == pytest.approx(1 / 3)


def test_only_one_frame_is_held_at_a_time() -> None:
    taken = []

    def frames(name: str) -> Iterator[tuple[int, np.ndarray]]:
        for k in range(4):
            taken.append((name, k))
            yield k, np.ones((2, 2), np.uint8)

    for found in match_frames(frames("truth"), frames("result")):
        assert max(k for _, k in taken) == found.frame


def test_frames_out_of_order_are_refused() -> None:
    frame = np.ones((2, 2), np.uint8)
    with pytest.raises(InputError, match="frame 1 after frame 2 in the truth"):
        list(match_frames([(2, frame), (1, frame)], [(1, frame), (2, frame)]))
    with pytest.raises(InputError, match="frame 2 after frame 2 in the result"):
        list(match_frames([(2, frame), (3, frame)], [(2, frame), (2, frame)]))


def test_empty_truth_is_told() -> None:
    empty = [match_frame(0, np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8))]
    with pytest.warns(MetricWarning, match="SEG is 0 by definition"):
        assert seg_score(empty) == 0
    with pytest.warns(MetricWarning, match="DET is not defined"):
        assert math.isnan(det_score(empty))


def test_empty_result_scores_zero() -> None:
    found = [match_frame(0, np.ones((2, 2), np.uint8), np.zeros((2, 2), np.uint8))]
    assert (seg_score(found), det_score(found)) == (0, 0)


def write_slices(folder: Path, truth: dict[int, np.ndarray], volume: np.ndarray) -> tuple[str, str]:
    """Truth of slices of frame 2 and a result, as the challenge names them; the oracle's paths."""
    for z, labels in truth.items():
        tifffile.imwrite(folder / f"man_seg_002_{z:03d}.tif", labels)
    tifffile.imwrite(folder / "mask002.tif", volume, photometric="minisblack")
    return str(folder / "man_seg_002.tif"), str(folder / "mask002.tif")


def test_single_slices_of_volumes(tmp_path: Path) -> None:
    """An object is what of it lies in the slice; the other slices of the result do not count."""
    rng = np.random.default_rng(0)
    volume = np.zeros((4, 12, 13), np.uint16)
    volume[:, 1:5, 1:5], volume[:3, 6:11, 2:9], volume[2:, 2:5, 7:12] = 3, 300, 7
    volume[volume > 0] += (1000 * np.arange(4, dtype=np.uint16)).repeat((volume > 0).sum((1, 2)))
    # every object has an id of its own in each slice: the oracle takes equal ids for one object
    truth = {z: np.where(volume[z] > 0, volume[z] + z, 0).astype(np.uint16) for z in (1, 3)}
    truth[1][rng.random((12, 13)) > 0.7] = 0
    truth[3][3:5, 1:5] = 99
    found = list(match_frames([(2, truth)], [(1, volume), (2, volume), (3, volume)]))
    assert [(match.frame, match.z) for match in found] == [(2, 1), (2, 3)]
    assert [match.truth for match in found] == [(1004, 1301), (99, 3006, 3010)]
    _, _, _, _, ious = match(*write_slices(tmp_path, truth, volume))
    n_truth = sum(len(match.truth) for match in found)
    assert seg_score(found) == pytest.approx(sum(ious) / n_truth, abs=1e-12)
    expected = np.mean([seg_score([match_frame(0, truth[z], volume[z])]) for z in (1, 1, 3, 3, 3)])
    assert seg_score(found) == pytest.approx(expected, abs=1e-12)


def test_a_slice_that_the_result_lacks() -> None:
    labels = np.ones((4, 5), np.uint8)
    with pytest.raises(InputError, match=r"slice 3 of frame 0.*more than the 3 slices"):
        list(match_frames([(0, {3: labels})], [(0, np.ones((3, 4, 5), np.uint8))]))
    with pytest.raises(InputError, match=r"slice 1 of frame 0.*the 1 slice that"):
        list(match_frames([(0, {1: labels})], [(0, labels)]))
    (flat,) = match_frames([(0, {0: labels})], [(0, labels)])  # a volume of one slice
    assert seg_score([flat]) == 1
    with pytest.warns(MetricWarning, match="lacks frame 0"):
        missed = list(match_frames([(0, {1: labels, 2: labels})], []))
    assert [match.n_missed for match in missed] == [1, 1]


def test_exactly_half_is_no_match_and_many_labels_do_no_harm() -> None:
    """More than half: 2 of 4 px do not match, 3 of 5 do; ids are of 16 bits and have gaps."""
    truth = np.array([[65535] * 4 + [0] * 2 + [17] * 5])
    result = np.array([[40000] * 2 + [2] * 2 + [0] * 2 + [65535] * 3 + [1, 3]])
    found = match_frame(0, truth, result)
    assert [(m.truth, m.result) for m in found.matches] == [(17, 65535)]
    assert (found.n_missed, found.n_extra, found.n_splits) == (1, 4, 0)
    assert seg_score([found]) == pytest.approx(3 / 5 / 2)


def test_frames_without_objects_count_for_nothing() -> None:
    cell, empty = np.array([[1, 1, 0]]), np.zeros((1, 3), int)
    found = list(match_frames([(0, cell), (1, empty), (2, cell)], enumerate([cell, cell, empty])))
    assert seg_score(found) == pytest.approx(1 / 2)
    assert det_score(found) == pytest.approx(1 - (1 + 10) / 20)
