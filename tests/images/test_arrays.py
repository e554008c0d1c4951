"""Data sets from arrays, as the Python API takes them."""

import numpy as np
import pytest
import zarr

from biounet.errors import InputError
from biounet.images import dataset_from_arrays, read_item, write_image

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (4, 12, 16), dtype=np.uint8)
LABELS = (IMAGES > 100).astype(np.uint8)


@pytest.mark.parametrize("wrap", [list, np.asarray, tuple])
def test_lists_and_stacks(wrap):
    dataset = dataset_from_arrays(wrap(IMAGES), wrap(LABELS))
    assert (len(dataset.items), dataset.axes, dataset.labels_are) == (4, "YX", "mask")
    for k, item in enumerate(dataset.items):
        read = read_item(item)
        np.testing.assert_array_equal(read.image, IMAGES[k][None])
        np.testing.assert_array_equal(read.labels, LABELS[k])


@pytest.mark.parametrize(
    ("images", "labels", "axes", "n_items", "n_channels", "shape"),
    [
        ((12, 16), (12, 16), None, 1, 1, (12, 16)),
        ((3, 12, 16), (12, 16), None, 1, 3, (12, 16)),
        ((12, 16, 3), (12, 16), None, 1, 3, (12, 16)),
        ((5, 2, 12, 16), (5, 12, 16), None, 5, 2, (12, 16)),
        ((5, 12, 16, 2), (5, 12, 16), None, 5, 2, (12, 16)),
        ((6, 12, 16), (6, 12, 16), "ZYX", 1, 1, (6, 12, 16)),
        ((2, 6, 12, 16), (6, 12, 16), "ZYX", 1, 2, (6, 12, 16)),
        ((3, 6, 12, 16), (3, 6, 12, 16), None, 3, 1, (6, 12, 16)),
    ],
)
def test_shapes(images, labels, axes, n_items, n_channels, shape):
    dataset = dataset_from_arrays(np.zeros(images), np.zeros(labels, int), axes=axes)
    assert (len(dataset.items), dataset.n_channels) == (n_items, n_channels)
    for item in dataset.items:
        assert item.shape == shape
        assert read_item(item).image.shape == (n_channels, *shape)
        assert read_item(item).labels.shape == shape


def test_images_of_different_sizes():
    images = [IMAGES[0], IMAGES[1][:5, :7]]
    dataset = dataset_from_arrays(images, [LABELS[0], LABELS[1][:5, :7]])
    assert [item.shape for item in dataset.items] == [(12, 16), (5, 7)]


def test_paths_in_lists_and_folders(tmp_path, make):
    for name in "ab":
        make.image(f"images/{name}.tif")
        make.labels(f"labels/{name}.png")
    folders = dataset_from_arrays(str(tmp_path / "images"), tmp_path / "labels")
    paths = dataset_from_arrays(
        [tmp_path / "images" / "b.tif"], [str(tmp_path / "labels" / "b.png")]
    )
    mixed = dataset_from_arrays([tmp_path / "images" / "b.tif"], [LABELS[0]])
    stack_and_list = dataset_from_arrays(IMAGES, list(LABELS))
    path_and_array = dataset_from_arrays(tmp_path / "images" / "b.tif", LABELS[0])
    counts = [len(d.items) for d in (folders, paths, mixed, stack_and_list, path_and_array)]
    assert counts == [2, 1, 1, 4, 1]
    np.testing.assert_array_equal(read_item(mixed.items[0]).labels, LABELS[0])


def test_a_folder_that_holds_both(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "a.tif", np.eye(8, dtype=np.uint8), "YX")
    assert len(dataset_from_arrays(tmp_path).items) == 1
    assert dataset_from_arrays(str(tmp_path), labels_are="mask").labels_are == "mask"


def test_lazy_arrays():
    store = zarr.create_array(zarr.storage.MemoryStore(), data=IMAGES, chunks=(1, 8, 8))
    dataset = dataset_from_arrays(store, LABELS)
    np.testing.assert_array_equal(read_item(dataset.items[2]).image, IMAGES[2][None])


def test_the_arrays_are_not_changed():
    images, labels = IMAGES.astype(np.float32), LABELS.astype(np.int32) * 5
    images.flags.writeable = labels.flags.writeable = False
    read = read_item(dataset_from_arrays(images, labels, ignore_value=5).items[0])
    assert not read.annotated.all()
    read.labels[:] = 9
    assert labels.max() == 5


@pytest.mark.parametrize(
    ("images", "labels", "found"),
    [
        (IMAGES, LABELS[:3], "4 images and 3 labels"),
        (list(IMAGES), list(LABELS[:3]), "4 images and 3 labels"),
        ([], [], "no images"),
        ([IMAGES[0]], [LABELS[0][:5]], "sizes that don't match: image 0 has shape"),
        ([IMAGES[0]], [LABELS[0][0]], "label 0 with 1 axes"),
        ([IMAGES[0], np.zeros((3, 12, 16))], list(LABELS[:2]), "different numbers of channels"),
        ([IMAGES[0]], [LABELS[0] + 0.5], "not whole numbers in label 0"),
        ([IMAGES[0]], [LABELS[0].astype(int) - 2], "negative label ids"),
        ([IMAGES[0], np.zeros((3, 4, 5))], [LABELS[0], np.zeros((3, 4, 5))], "2-D and 3-D"),
        (None, LABELS, "images of type NoneType"),
        (["here.tif"], [LABELS[0]], "no file here.tif"),
    ],
)
def test_mistakes(images, labels, found):
    with pytest.raises(InputError, match=found):
        dataset_from_arrays(images, labels)


def test_nan_pixels_are_told_when_the_image_is_read():
    image = IMAGES[0].astype(np.float32)
    image[0, :3] = np.nan
    item = dataset_from_arrays([image], [LABELS[0]]).items[0]
    with pytest.raises(InputError, match="3 pixels that are NaN or infinite in 0"):
        read_item(item)
