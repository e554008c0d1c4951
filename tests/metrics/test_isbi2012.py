"""The ISBI 2012 scores against the organisers' own program, threshold by threshold."""

import json
import warnings
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biounet.errors import InputError
from biounet.metrics import MetricWarning, evaluate_isbi2012
from biounet.metrics.information import Information
from biounet.metrics.isbi2012 import THRESHOLDS, Isbi2012Scores, _summary
from biounet.metrics.mismatches import classify, count_clusters, count_pixels
from biounet.metrics.thinning import thin
from biounet.metrics.warping import warp

GOLDEN = Path(__file__).parents[1] / "golden/isbi2012"
CASES = sorted(GOLDEN.glob("*.json"))
KINDS = (
    "mergers",
    "splits",
    "hole_additions",
    "hole_deletions",
    "object_additions",
    "object_deletions",
)


def evaluate(*args: Any, **kwargs: Any) -> Isbi2012Scores:
    """Golden cases are full of empty and one-class slices: their warnings are tested apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetricWarning)
        return evaluate_isbi2012(*args, **kwargs)


def same(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Scores are sums of a few float64 terms: they agree to 1e-12; null in JSON is NaN."""
    expected = np.array(expected, np.float64)
    np.testing.assert_allclose(np.array(found, np.float64), expected, rtol=0, atol=tolerance)


def check_case(path: Path) -> None:
    case = json.loads(path.read_text())["expected"]
    arrays = np.load(path.with_suffix(".npz"))
    probabilities, labels = arrays["prob"], arrays["labels"]
    scores = evaluate(probabilities, labels, workers=2)

    assert scores.thresholds == tuple(case["thresholds"])
    same(scores.pixel_error, case["pixel"]["challenge_pixel_error"])
    same(scores.rand_error, case["rand_foreground_restricted"]["challenge_rand_error"])
    same(scores.rand_error_2012, case["rand_2012"]["challenge_rand_error"])
    same(scores.warping_error, case["warping"]["challenge_warping_error"])
    same(scores.v_rand, case["v_rand_thinned"]["max_v_rand"])
    same(scores.v_info, case["v_info_thinned"]["max_v_info"])

    def f_scores(table: list[dict[str, float]]) -> list[float]:
        return [row["f_score"] for row in table]

    same(scores.pixel_error_at, np.subtract(1, f_scores(case["pixel"]["per_threshold"])))
    rand = case["rand_foreground_restricted"]
    same(scores.rand_error_at, np.subtract(1, f_scores(rand["per_threshold"])))
    same(scores.v_rand_at, f_scores(case["v_rand_thinned"]["per_threshold_macro"]))
    same(scores.v_info_at, case["v_info_thinned"]["per_threshold"])
    for k, stack in enumerate(scores.slices):
        for name in ("tp", "fp", "fn"):
            pixels = sum(getattr(s.pixels, name) for s in stack)
            assert pixels == case["pixel"]["per_threshold"][k][name]
            pairs = sum(getattr(s.rand_2012, name) for s in stack)
            assert pairs == case["rand_2012"]["per_threshold"][k][name]
        for z, one in enumerate(stack):
            check_pairs(one.rand, rand["per_slice"][k][z], labels[z])
            check_pairs(one.rand_thinned, case["v_rand_thinned"]["per_slice"][k][z], labels[z])
            same(one.information_thinned.f_score, case["v_info_thinned"]["per_slice"][k][z])
            if labels[z].any():
                entropies = case["v_info_thinned"]["entropies_per_slice"][k][z]
                same(one.information_thinned.truth, entropies["ht"])
                same(one.information_thinned.prediction, entropies["hs"])
                both = entropies["ht"] + entropies["hst"]
                same(one.information_thinned.both, both)
    for k, expected in enumerate(case["warping"]["per_threshold"]):
        for kind in KINDS:
            found = sum(getattr(s.mismatches_px, kind) for s in scores.slices[k])
            assert found == expected["r20_pixels"][kind]
            found = sum(getattr(s.mismatches, kind) for s in scores.slices[k])
            assert found == expected["r20_clusters"][kind]
        check_mismatches(probabilities, labels > 0, THRESHOLDS[k], expected)
    check_intermediate(path, probabilities, labels > 0)


def check_pairs(found: Any, expected: dict[str, float], labels: np.ndarray) -> None:
    """The organisers' counts carry rounding noise of about 1e-15 of all pairs."""
    n = int((labels > 0).sum())
    for name in ("tp", "fp", "fn"):
        same(getattr(found, name), expected[name], tolerance=1e-9 * max(n, 1) ** 2)
    same(found.f_score, expected["f_score"])


def check_mismatches(
    probabilities: np.ndarray, truth: np.ndarray, threshold: float, expected: dict[str, Any]
) -> None:
    """All mismatches together, and (where the case has them) the counts without a window."""
    counts: dict[str, list[Any]] = {"whole_pixels": [], "whole_clusters": []}
    n_px = 0
    for p, t in zip(probabilities, truth, strict=True):
        warped, cells = warp(t, p, threshold), p.astype(np.float64) > threshold
        whole = classify(warped, cells, t, radius_px=0)
        counts["whole_pixels"].append(count_pixels(whole))
        counts["whole_clusters"].append(count_clusters(whole, warped))
        n_px += np.count_nonzero(whole)
    same(n_px / truth.size, expected["warping_error"])
    for name in counts.keys() & expected.keys():
        for kind in KINDS:
            assert sum(getattr(c, kind) for c in counts[name]) == expected[name][kind]


def check_intermediate(path: Path, probabilities: np.ndarray, truth: np.ndarray) -> None:
    with np.load(path.with_name(f"{path.stem}_intermediate.npz")) as arrays:
        assert len(arrays.files) > 0
        for name in arrays.files:
            what, k, z = name.split("_")
            p, t, threshold = probabilities[int(z)], truth[int(z)], THRESHOLDS[int(k)]
            cells = p.astype(np.float64) > threshold
            found = thin(cells) if what == "thin" else warp(t, p, threshold)
            if what == "class":
                found = classify(found, cells, t)
            np.testing.assert_array_equal(found, arrays[name], err_msg=name)


def test_all_cases_are_there() -> None:
    assert len(CASES) == 21


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden_case(path: Path) -> None:
    check_case(path)


@pytest.mark.parametrize("name", ["r01_smoothed_label", "r03_intensity"])
def test_golden_case_of_real_labels(shared: Path, name: str) -> None:
    check_case(shared / f"golden/isbi2012/real/{name}.json")


def test_mask_limits_flips_and_errors() -> None:
    arrays = np.load(GOLDEN / "t22_mask.npz")
    case = json.loads((GOLDEN / "t22_mask.json").read_text())["expected"]["warping"]
    scores = evaluate(arrays["prob"], arrays["labels"], mask=arrays["mask"] > 0)
    n_px = [sum(astuple(s.mismatches_px)) for (s,) in scores.slices[:10]]
    same(np.divide(n_px, arrays["labels"].size), case["masked_warping_error"])


def random_stack(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((5, 20, 30), np.float32), rng.random((5, 20, 30)) > 0.3


def test_scores_do_not_depend_on_workers_and_progress_is_told() -> None:
    probabilities, labels = random_stack(0)
    done: list[int] = []
    one = evaluate_isbi2012(probabilities, labels, workers=1, on_slice=done.append)
    assert done == [1, 2, 3, 4, 5]
    for workers in (2, 5, None):
        assert evaluate_isbi2012(probabilities, labels, workers=workers) == one


def test_labels_of_255_and_of_1_are_the_same() -> None:
    probabilities, labels = random_stack(1)
    assert evaluate_isbi2012(probabilities, labels) == evaluate_isbi2012(
        probabilities, labels.astype(np.uint8) * 255
    )


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.bool_, st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9))))
def test_a_perfect_prediction_has_no_error(cells: np.ndarray) -> None:
    scores = evaluate(cells, cells)
    assert scores.pixel_error == 0
    assert scores.warping_error == 0
    assert scores.rand_error == (0 if cells.any() else 1)


def test_order_of_slices_does_not_matter() -> None:
    probabilities, labels = random_stack(2)
    scores = evaluate_isbi2012(probabilities, labels)
    turned = evaluate_isbi2012(probabilities[::-1], labels[::-1])
    assert turned.warping_error == scores.warping_error
    assert turned.v_rand == pytest.approx(scores.v_rand, abs=1e-12)
    assert turned.v_info == pytest.approx(scores.v_info, abs=1e-12)


def test_hand_worked_gap() -> None:
    """Two cells of 4 px, a membrane of 2 px with a gap of 1 px: 1 px merges them."""
    truth = np.array([[[1, 1, 0, 1, 1], [1, 1, 0, 1, 1]]], np.uint8)
    prediction = np.array([[[1, 1, 1, 1, 1], [1, 1, 0, 1, 1]]], np.float32)
    scores = evaluate(prediction, truth)
    assert scores.pixel_error == pytest.approx(1 - 2 * 8 / 17)
    assert scores.warping_error == pytest.approx(1 / 10)
    # pairs of pixels of true cells: 32 together in both, 64 in the prediction, 32 in the truth
    assert scores.rand_error == pytest.approx(1 - 2 * 32 / (32 + 64))
    assert scores.v_rand == pytest.approx(2 * 32 / (32 + 64))
    assert scores.v_info == 0


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4), np.uint8), "divide 8-bit values"),
        (np.full((1, 4, 4), 1.5), np.zeros((1, 4, 4), np.uint8), "found values of 1.5..1.5"),
        (np.full((1, 4, 4), -0.1), np.zeros((1, 4, 4), np.uint8), "P\\(cell\\) in 0..1"),
        (np.full((1, 4, 4), np.nan), np.zeros((1, 4, 4), np.uint8), "found NaN"),
        (np.full((1, 4, 4), np.inf), np.zeros((1, 4, 4), np.uint8), "found values of inf"),
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 5), np.uint8), "labels of shape \\(1, 4, 5\\)"),
        (np.zeros((4, 4)), np.zeros((4, 4), np.uint8), "a stack of slices"),
        (np.zeros((0, 4, 4)), np.zeros((0, 4, 4), np.uint8), "a stack of slices"),
        (np.zeros((2, 1, 4, 4)), np.zeros((1, 4, 4), np.uint8), "one class only"),
    ],
)
def test_wrong_input_is_refused(
    probabilities: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_isbi2012(probabilities, labels)


def test_mask_of_another_shape_is_refused() -> None:
    probabilities, labels = random_stack(3)
    with pytest.raises(InputError, match="mask of shape"):
        evaluate_isbi2012(probabilities, labels, mask=np.ones((5, 20, 29), np.bool_))


def test_empty_truth_is_told() -> None:
    probabilities, labels = random_stack(4)
    with pytest.warns(MetricWarning, match="truth has no cell: Rand error 1"):
        scores = evaluate_isbi2012(probabilities, np.zeros_like(labels))
    assert (scores.rand_error, scores.v_rand, scores.v_info) == (1, 0, 0)


def test_empty_slice_of_the_truth_is_told() -> None:
    probabilities, labels = random_stack(5)
    labels[1] = labels[3] = False
    with pytest.warns(MetricWarning, match="no cell in slice 1, 3"):
        scores = evaluate_isbi2012(probabilities, labels)
    assert scores.rand_error == 1
    assert scores.v_rand > 0


def test_truth_without_membrane_is_told() -> None:
    probabilities, labels = random_stack(6)
    with pytest.warns(MetricWarning, match="truth has no membrane"):
        scores = evaluate_isbi2012(probabilities, np.ones_like(labels))
    assert scores.v_info == 0
    assert scores.warping_error == 0


def test_prediction_of_one_class_is_told() -> None:
    probabilities, labels = random_stack(7)
    with pytest.warns(MetricWarning, match="prediction is all cell, at every threshold"):
        scores = evaluate_isbi2012(np.ones_like(probabilities), labels)
    assert scores.v_info == 0
    with pytest.warns(MetricWarning) as told:
        scores = evaluate_isbi2012(np.zeros_like(probabilities), labels)
    assert ["prediction is all membrane" in str(w.message) for w in told] == [True, False]
    assert scores.v_info == 0


def test_a_threshold_without_information_score_is_passed_over() -> None:
    """NaN at one threshold, as the organisers' rules have it, is not the maximum."""
    slices = [
        replace(scores, information_thinned=Information(1.0, 1.0, both))
        for scores, both in zip(
            [stack[0] for stack in evaluate_isbi2012(*random_stack(8)).slices],
            [2.0, 1.2, *[1.5] * 9],
            strict=True,
        )
    ]
    summary = _summary(tuple((one,) for one in slices), n_pixels=600)
    assert np.isnan(summary.v_info_at[0])
    assert summary.v_info == pytest.approx(0.8)


def test_best_warping_error_of_an_empty_prediction_is_told() -> None:
    """At threshold 0.9 nothing of this prediction is left, and hardly an error: told."""
    labels = np.ones((1, 24, 24), np.uint8)
    labels[0, 12] = 0
    probabilities = np.full((1, 24, 24), 0.8, np.float32)
    with pytest.warns(MetricWarning, match="best warping error is that of an empty prediction"):
        scores = evaluate_isbi2012(probabilities, labels)
    assert scores.warping_error == 0
    assert scores.warping_error_at[5] == 24 / 24**2
