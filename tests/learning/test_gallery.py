"""What a run leaves for its report: the same samples as trained on, whole counts, small files."""

from pathlib import Path

import numpy as np
import pytest

import biounet
from biounet.config import ObjectSettings, read_settings
from biounet.errors import InputError
from biounet.images.arrays import dataset_from_arrays
from biounet.images.dataset import Annotated, read_item
from biounet.learning.borders import separate_touching
from biounet.learning.gallery import (
    read_training_gallery,
    read_validation_gallery,
    write_training_gallery,
)
from biounet.learning.gallery_views import training_gallery, validation_gallery
from biounet.learning.preparation import prepare, split_items
from biounet.learning.run_folder import RunFolder, read_records
from biounet.learning.sampling import draw_batch
from biounet.learning.views import SIDE_PX, grey_picture, shown_box, spread, view_of
from biounet.simulate import simulate_cells

SMALL = {"network": {"width": 2, "depth": 2}, "training": {"patch_px": 40, "validations": 1}}


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [simulate_cells("touching-cells", (90, 110), rng) for _ in range(5)]


@pytest.fixture(scope="module")
def run(
    pairs: list[tuple[np.ndarray, np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    path = tmp_path_factory.mktemp("gallery") / "run"
    images, labels = zip(*pairs, strict=True)
    biounet.train(list(images), list(labels), out=path, steps=4, settings=SMALL, device="cpu")
    return RunFolder(path)


def test_samples_are_those_that_the_network_was_trained_on(pairs, run: RunFolder) -> None:
    gallery = read_training_gallery(run)
    assert gallery is not None
    settings = read_settings(run.settings)
    images, labels = zip(*pairs, strict=True)
    dataset = dataset_from_arrays(list(images), list(labels), None)
    split = split_items(
        [read_item(i) for i in dataset.items], 0.15, 9, settings.network.footprint, 0
    )
    data = prepare(split, dataset, settings)
    footprint = settings.network.footprint
    input_shape = footprint.input_for((settings.training.patch_px,) * 2)
    batch = draw_batch(
        data.training,
        range(len(gallery.samples)),
        input_shape,
        footprint.output_shape(input_shape),
        settings.augmentation,
        settings.training.balanced_sampling,
        settings.training.seed,
    )
    for k, sample in enumerate(gallery.samples):
        np.testing.assert_array_equal(sample.class_map, batch.class_map[k])
        np.testing.assert_allclose(sample.weights, batch.weights[k], rtol=1e-6)
        np.testing.assert_array_equal(sample.image, grey_picture(batch.image[k].numpy()))
        assert sample.image.shape == input_shape


def test_what_is_said_counts_everything(pairs, run: RunFolder) -> None:
    gallery = read_training_gallery(run)
    assert gallery is not None
    assert [f.part for f in gallery.facts] == ["training"] * 4 + ["validation"]
    for fact, (_, labels) in zip(gallery.facts, pairs, strict=True):
        assert fact.shape == labels.shape
        assert fact.n_objects == len(np.unique(labels[labels > 0]))
        assert fact.class_px == (np.sum(labels == 0), np.sum(labels > 0))
    areas = [np.sum(labels == k) for _, labels in pairs[:4] for k in np.unique(labels[labels > 0])]
    assert sorted(gallery.sizes_px) == sorted(areas)
    assert (gallery.corner.shape, gallery.corner.written) == ((90, 110), (90, 110))
    first = gallery.prepared[0]
    np.testing.assert_array_equal(first.view.labels, pairs[0][1])
    np.testing.assert_array_equal(first.class_map, separate_touching(pairs[0][1], 1) > 0)


def test_results_are_the_runs_own_score_and_worst_first(run: RunFolder) -> None:
    gallery = read_validation_gallery(run)
    assert gallery is not None
    end = next(r for r in read_records(run) if r["kind"] == "end")
    (result,) = gallery.results
    assert result.scores == pytest.approx(end["score"])
    view = gallery.views[0]
    assert view.predicted.shape == view.view.labels.shape


def test_every_validation_image_is_scored_by_itself() -> None:
    truth = np.zeros((20, 30), np.int32)
    truth[2:8, 2:8], truth[2:8, 12:18], truth[12:18, 2:28] = 1, 2, 3

    def certain(mask: np.ndarray) -> np.ndarray:
        return np.stack([~mask, mask]).astype(np.float32)

    image = np.zeros((1, 20, 30), np.uint8)
    items = [Annotated(name, image, truth) for name in ("right", "nothing", "part")]
    missed = (truth > 0) & (truth != 2)
    probabilities = [certain(truth > 0), certain(truth < 0), certain(missed)]
    gallery = validation_gallery(items, probabilities, "instances", ObjectSettings())
    assert [r.name for r in gallery.results] == ["nothing", "part", "right"]
    assert gallery.results[0].true_objects == {"missed": 3}
    assert gallery.results[1].true_objects == {"matched": 2, "missed": 1}
    assert gallery.results[2].scores == {"AP": 1.0, "AP50": 1.0, "F1_50": 1.0, "object_IoU": 1.0}
    assert [v.view.name for v in gallery.views] == ["nothing", "part", "right"]
    assert sorted(gallery.predicted_sizes_px) == [36, 36, 36, 156, 156]
    unknown = Annotated("unknown", image, np.where(truth == 1, 0, truth), truth != 1)
    (result,) = validation_gallery(
        [unknown], [certain(truth > 0)], "instances", ObjectSettings()
    ).results
    assert result.true_objects == {"matched": 2} and result.scores["AP"] == 1


def test_parts_shown_are_where_the_labels_are() -> None:
    labels = np.zeros((3, 2000, 700), np.int32)
    labels[1, 1500:1600, 600:690] = 1
    labels[2, 10:20, 10:20] = 1
    box = shown_box(labels)
    assert box[0] == 1 and np.count_nonzero(labels[box]) == 9000
    assert labels[box].shape == (SIDE_PX, SIDE_PX)
    view = view_of(Annotated("v", np.zeros((2, 3, 2000, 700), np.uint16), labels))
    assert view.image.shape == (SIDE_PX, SIDE_PX, 3) and not view.whole
    assert view.annotated.all()
    small = view_of(Annotated("s", np.zeros((1, 20, 30)), np.zeros((20, 30), np.int32)))
    assert small.whole and small.image.shape == (20, 30)


def test_pictures_of_any_type_are_stretched_to_8_bits() -> None:
    ramp = np.linspace(-5, 9000, 400).reshape(1, 20, 20)
    for dtype in (np.float32, np.int16, np.float64):
        grey = grey_picture(ramp.astype(dtype))
        assert grey.dtype == np.uint8 and grey.min() == 0 and grey.max() == 255
        assert (np.diff(grey.ravel().astype(int)) >= 0).all()
    assert not grey_picture(np.full((1, 8, 8), 1000, np.uint16)).any()
    colours = grey_picture(np.stack([ramp[0], ramp[0] / 2, ramp[0] * 0, ramp[0]]))
    assert colours[-1, -1, 0] == 255 and 100 < colours[-1, -1, 1] < 150
    two = grey_picture(np.stack([ramp[0], ramp[0] / 2]))
    assert (two[..., 0] == two[..., 2]).all() and two[-1, -1, 1] == 255


@pytest.mark.parametrize(
    ("n", "wanted", "expected"), [(0, 3, []), (-4, 3, []), (2, 5, [0, 1]), (9, 3, [0, 4, 8])]
)
def test_some_of_many_are_spread_evenly(n: int, wanted: int, expected: list[int]) -> None:
    assert spread(n, wanted) == expected


def test_a_gallery_is_small_and_holds_no_objects(run: RunFolder) -> None:
    for name in ("training", "validation"):
        path = run.path / "gallery" / f"{name}.npz"
        assert path.stat().st_size < 400_000
        with np.load(path, allow_pickle=False) as file:
            assert all(file[key].dtype != object for key in file.files)


def test_pictures_of_large_images_stay_small() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4000, (1500, 1300)).astype(np.uint16)
    labels = np.zeros(image.shape, np.int32)
    labels[700:800, 900:1000] = 1
    dataset = dataset_from_arrays([image] * 3, [labels] * 3, "instances")
    settings = biounet.config.Settings()
    split = split_items(
        [read_item(i) for i in dataset.items], 0.3, 9, settings.network.footprint, 0
    )
    gallery = training_gallery(split, prepare(split, dataset, settings), dataset, settings)
    assert all(v.image.shape == (SIDE_PX, SIDE_PX) and (v.labels == 1).any() for v in gallery.views)
    assert gallery.corner.image.shape == (SIDE_PX, SIDE_PX)
    assert gallery.corner.shape == (1500, 1300)


def test_a_gallery_is_read_as_it_was_written(run: RunFolder, tmp_path: Path) -> None:
    gallery = read_training_gallery(run)
    assert gallery is not None
    other = RunFolder(tmp_path)
    write_training_gallery(gallery, other)
    again = read_training_gallery(other)
    assert again is not None
    assert again.facts == gallery.facts and again.corner.input_shape == gallery.corner.input_shape
    for one, two in zip(gallery.samples, again.samples, strict=True):
        np.testing.assert_array_equal(one.coordinates, two.coordinates)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04 and no more"])
def test_a_damaged_gallery_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "gallery" / "training.npz"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"training\.npz, which is damaged"):
        read_training_gallery(RunFolder(tmp_path))
    assert read_validation_gallery(RunFolder(tmp_path)) is None
