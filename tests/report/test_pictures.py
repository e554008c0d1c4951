"""Pictures: outlines, colours of mistakes, mirrored context, bent lines."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from biounet.metrics.outcomes import Outcome
from biounet.report.pictures import (
    BLUE,
    CYAN,
    OUTCOME_COLOURS,
    YELLOW,
    blended,
    enlarged,
    enlarged_labels,
    fitted,
    flat_uri,
    grid_picture,
    instance_colours,
    mask_picture,
    mistakes_picture,
    outlined,
    outlines,
    photo_uri,
    segmentation_picture,
    tile_picture,
    truth_picture,
    weights_gradient,
    weights_picture,
)

SIDE_PX = 64


def square(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Labels of 64 x 64 px with squares (y, x, size, label)."""
    labels = np.zeros((SIDE_PX, SIDE_PX), np.int32)
    for y, x, size, label in boxes:
        labels[y : y + size, x : x + size] = label
    return labels


GREY = np.full((SIDE_PX, SIDE_PX), 100, np.uint8)
ALL = np.ones((SIDE_PX, SIDE_PX), bool)


def has(picture: np.ndarray, where: np.ndarray, outcome: Outcome) -> bool:
    """Whether the mean hue of some pixels is nearer to an outcome's colour than to any other's."""

    def hue(colour: np.ndarray) -> np.ndarray:
        direction = colour - colour.mean()
        return direction / max(float(np.linalg.norm(direction)), 12.0)  # grey has none

    mean = hue(picture[where].reshape(-1, 3).mean(0))
    likeness = {o: float(mean @ hue(np.array(c))) for o, c in OUTCOME_COLOURS.items()}
    return max(likeness, key=lambda o: likeness[o]) == outcome and likeness[outcome] > 0.9


def test_an_outline_is_the_inner_border() -> None:
    labels = np.zeros((7, 7), int)
    labels[1:6, 1:6] = 3
    expected = labels > 0
    expected[2:5, 2:5] = False
    np.testing.assert_array_equal(outlines(labels, 1), expected)
    expected[2:5, 2:5] = True
    expected[3, 3] = False
    np.testing.assert_array_equal(outlines(labels, 2), expected)


def test_touching_objects_both_have_an_outline_where_they_meet() -> None:
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 6, axis=0)
    np.testing.assert_array_equal(outlines(labels, 1)[3], [0, 0, 1, 1, 0, 0])


def test_sizes_keep_their_proportions() -> None:
    assert fitted((100, 200), 400) == (200, 400)
    assert fitted((1, 1000), 100) == (1, 100)
    assert enlarged(np.zeros((10, 20), np.uint8), 40).shape == (20, 40, 3)
    assert enlarged(np.zeros((600, 300, 3), np.uint8), 60).shape == (60, 30, 3)


def test_labels_grow_by_whole_pixels() -> None:
    np.testing.assert_array_equal(
        enlarged_labels(np.array([[1, 2], [3, 4]]), 4),
        [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
    )


def test_blending_leaves_its_input_alone() -> None:
    picture = np.full((2, 2, 3), 100, np.uint8)
    where = np.array([[True, False], [False, False]])
    result = blended(picture, where, (200, 0, 100), 0.5)
    np.testing.assert_array_equal(result[0, 0], [150, 50, 100])
    assert (result[where == 0] == 100).all() and (picture == 100).all()


def test_found_missed_and_extra_objects() -> None:
    truth = square((4, 4, 16, 1), (40, 40, 16, 2))
    predicted = square((4, 5, 16, 7), (4, 40, 16, 8))
    picture = mistakes_picture(GREY, predicted, truth, ALL, "instances", SIDE_PX)
    assert has(picture, truth == 2, Outcome.MISSED)
    assert has(picture, predicted == 8, Outcome.EXTRA)
    assert has(picture, outlines(square((4, 5, 16, 7)), 1), Outcome.MATCHED)
    inside = square((10, 10, 6, 1)) > 0
    assert np.ptp(picture[inside], axis=-1).max() == 0  # grey: nothing covers what was found


def test_merged_and_split_objects() -> None:
    truth = square((4, 4, 14, 1), (4, 18, 14, 2), (4, 32, 14, 3), (33, 4, 27, 4))
    predicted = np.where((truth > 0) & (truth < 4), 1, 0)
    for label, start in ((2, 33), (3, 42), (4, 51)):  # three pieces of 9 rows
        predicted[start : start + 9, 4:31] = label
    picture = mistakes_picture(GREY, predicted, truth, ALL, "instances", SIDE_PX)
    assert has(picture, predicted == 1, Outcome.MERGED)
    assert has(picture, truth == 4, Outcome.SPLIT)


def test_wrong_pixels_of_masks_and_classes() -> None:
    truth, predicted = square((8, 8, 20, 1)), square((8, 18, 20, 1))
    picture = mistakes_picture(GREY, predicted, truth, ALL, "mask", SIDE_PX)
    assert has(picture, (truth == 1) & (predicted == 0), Outcome.MISSED)
    assert has(picture, (truth == 0) & (predicted == 1), Outcome.EXTRA)
    picture = mistakes_picture(GREY, predicted * 2, truth, ALL, "classes", SIDE_PX)
    assert has(picture, (truth == 1) & (predicted == 1), Outcome.MERGED)


@pytest.mark.parametrize("labels_are", ["instances", "mask", "classes"])
def test_pixels_that_nobody_annotated_are_dark_and_no_mistake(labels_are: str) -> None:
    annotated = ALL.copy()
    annotated[:, :32] = False
    picture = mistakes_picture(GREY, square((8, 8, 12, 1)), square(), annotated, labels_are, 64)
    assert picture[:, :32].max() < 60
    assert np.ptp(picture[:, 32:], axis=-1).max() == 0


@pytest.mark.parametrize("labels_are", ["instances", "mask", "classes"])
def test_the_truth_is_a_yellow_border_over_the_prediction(labels_are: str) -> None:
    truth, predicted = square((8, 8, 20, 1)), square((10, 10, 20, 2))
    picture = segmentation_picture(GREY, predicted, truth, labels_are, SIDE_PX)
    assert (picture[outlines(truth, 1)] == YELLOW).all()
    inside = (predicted == 2) & ~outlines(truth, 1)
    assert np.ptp(picture[inside].mean(0)) > 20
    assert (picture[(predicted == 0) & ~outlines(truth, 1)] == 100).all()


def test_objects_have_colours_of_their_own_and_a_mask_has_one() -> None:
    labels = square((2, 2, 10, 1), (2, 20, 10, 2), (2, 40, 10, 3))
    assert len(np.unique(instance_colours(labels)[labels > 0], axis=0)) == 3
    picture = truth_picture(GREY, labels, "mask", SIDE_PX)
    inner = picture[(labels > 0) & ~outlines(labels, 1)]
    assert len(np.unique(inner, axis=0)) == 1
    np.testing.assert_allclose(inner[0], (100 + np.array(CYAN)) / 2, atol=1)


def test_masks_and_weights() -> None:
    np.testing.assert_array_equal(
        mask_picture(np.array([[0, 1], [2, 2]]), 2)[..., 0], [[0, 127], [255, 255]]
    )
    assert not mask_picture(np.zeros((4, 4), int), 4).any()
    picture = weights_picture(np.array([[0.0, 5.0], [10.0, 20.0]]), 2, 10.0).astype(int).sum(-1)
    assert picture[0, 0] < picture[0, 1] < picture[1, 0] == picture[1, 1]
    assert weights_gradient().startswith("linear-gradient(90deg, #")


def test_an_outlined_image_is_the_image_with_lines() -> None:
    labels = square((8, 8, 20, 1))
    picture = outlined(GREY, labels, SIDE_PX)
    assert (picture[~outlines(labels, 1)] == 100).all()
    assert (picture[outlines(labels, 1)][:, 0] > 200).all()


def test_lines_of_an_unchanged_sample_are_straight_and_where_they_belong() -> None:
    position = np.arange(0, 128, 4, dtype=np.float32)
    coordinates = np.stack(np.meshgrid(position, position, indexing="ij"))
    picture = grid_picture(np.zeros((128, 128), np.uint8), coordinates, (0, 0), 32, 128)
    bright = picture[..., 2].astype(int)  # no line of the yellow frame is blue
    columns = bright[10:22].mean(0)
    peaks = [k for k in range(8, 120) if columns[k] > 100]
    assert {round(p / 32) for p in peaks} == {1, 2, 3}
    assert all(abs(p - 32 * round(p / 32)) <= 3 for p in peaks)
    np.testing.assert_array_equal(bright[8:20, 8:120], np.repeat(bright[8:9, 8:120], 12, axis=0))


def test_a_tile_shows_its_mirrored_context_and_its_frames() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 60)).astype(np.uint8)
    picture = tile_picture(image, (40, 60), (10, 10), (40, 40), (20, 20), 80)
    assert picture.shape == (60, 80, 3)  # 10 px more on each side
    assert (picture[42:50, 12:70] == image[32:40, 2:60, None]).all()  # the image, in no frame
    mirrored = image[32:40, 58:49:-1, None] * 0.72 + 255 * 0.28  # whitened, beyond its end
    np.testing.assert_allclose(picture[42:50, 70:79], mirrored.repeat(3, -1), atol=1)
    assert (picture[0, :40] == BLUE).all() and (picture[10, 10:30] == YELLOW).all()
    assert (picture[0, 41:] != BLUE).any(axis=-1).all()


def test_a_tile_at_the_corner_of_a_larger_image_is_not_mirrored_far_away() -> None:
    image = np.zeros((50, 50), np.uint8)
    assert tile_picture(image, (500, 500), (10, 10), (40, 40), (20, 20), 60).shape == (60, 60, 3)


@pytest.mark.parametrize(("uri", "kind"), [(photo_uri, "JPEG"), (flat_uri, "PNG")])
def test_data_uris_are_pictures(uri: object, kind: str) -> None:
    assert callable(uri)
    picture = np.zeros((8, 10, 3), np.uint8)
    text = uri(picture)
    head, _, data = text.partition(",")
    assert head == f"data:image/{kind.lower()};base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (image.format, image.size) == (kind, (10, 8))
