"""The table of shared pixels against counting pixel by pixel."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biounet.errors import InputError
from biounet.metrics.contingency import contingency

shapes = st.tuples(st.integers(0, 6), st.integers(0, 6))


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = draw(shapes)
    labels = st.sampled_from([0, 1, 2, 7, 70_000, 2**32 - 1])
    return (
        draw(hnp.arrays(np.uint32, shape, elements=labels)),
        draw(hnp.arrays(np.int64, shape, elements=labels)),
        draw(hnp.arrays(np.bool_, shape)),
    )


@given(images(), st.booleans())
def test_is_a_count_of_pixels(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], with_ignore: bool
) -> None:
    prediction, truth, ignore = case
    table = contingency(prediction, truth, ignore if with_ignore else None)
    counted = ~ignore.ravel() if with_ignore else np.ones(truth.size, np.bool_)
    a, b = prediction.ravel()[counted].tolist(), truth.ravel()[counted].tolist()
    found = zip(
        table.prediction_labels[table.prediction_index].tolist(),
        table.truth_labels[table.truth_index].tolist(),
        strict=True,
    )
    assert dict(zip(found, table.pixels.tolist(), strict=True)) == Counter(zip(a, b, strict=True))
    assert table.prediction_labels.tolist() == sorted(set(a))
    assert dict(
        zip(table.prediction_labels.tolist(), table.prediction_areas.tolist(), strict=True)
    ) == Counter(a)
    assert dict(
        zip(table.truth_labels.tolist(), table.truth_areas.tolist(), strict=True)
    ) == Counter(b)


def test_hand_worked_objects() -> None:
    pairs = contingency(np.array([1, 1, 1, 0, 2]), np.array([0, 5, 5, 5, 5])).objects()
    assert pairs.prediction.tolist() == [1, 2]
    assert pairs.truth.tolist() == [5, 5]
    assert pairs.pixels.tolist() == [2, 1]
    assert pairs.iou.tolist() == [2 / 5, 1 / 4]
    assert pairs.fills_truth.tolist() == [False, False]
    assert pairs.fills_prediction.tolist() == [True, True]


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "a prediction of shape \\(2, 3\\)"),
        (np.zeros(3), np.zeros(3, int), "float64 values in the prediction"),
        (np.zeros(3, int), np.zeros(3, np.float32), "float32 values in the truth"),
        (np.zeros(3, int), np.array([0, -1, 4]), "the label -1 in the truth"),
    ],
)
def test_wrong_labels_are_refused(prediction: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        contingency(prediction, truth)


def test_mask_of_another_shape_is_refused() -> None:
    labels = np.zeros((2, 3), int)
    with pytest.raises(InputError, match="a mask of shape"):
        contingency(labels, labels, np.zeros((2, 2), np.bool_))
