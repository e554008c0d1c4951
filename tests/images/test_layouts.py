"""Every layout of annotated data, found by looking."""

import json

import numpy as np
import pytest
import tifffile

from biounet.images import find_dataset, read_item
from biounet.images.dataset import Annotated
from biounet.images.writing import write_image


def names(dataset):
    return [item.name for item in dataset.items]


@pytest.mark.parametrize("labels", ["labels", "masks", "gt", "Masks"])
@pytest.mark.parametrize("ending", ["", "_mask", "-labels", "_cp_masks"])
def test_two_folders(tmp_path, make, labels, ending):
    images = {name: make.image(f"images/{name}.tif") for name in "ab"}
    truth = {name: make.labels(f"{labels}/{name}{ending}.png") for name in "ab"}
    dataset = find_dataset([tmp_path])
    assert names(dataset) == ["a", "b"]
    assert (dataset.labels_are, dataset.n_channels, dataset.n_classes) == ("instances", 1, 2)
    assert dataset.axes == "YX"
    for item in dataset.items:
        read = read_item(item)
        np.testing.assert_array_equal(read.image, images[item.name][None])
        np.testing.assert_array_equal(read.labels, truth[item.name])
        assert read.image.dtype == np.uint8
        assert read.labels.dtype == np.int32
        assert read.annotated is None


def test_named_outright(tmp_path, make):
    make.image("here/a.tif")
    make.labels("there/a.png")
    images, labels = tmp_path / "here", tmp_path / "there"
    assert names(find_dataset(images=images, labels=labels)) == ["a"]
    assert names(find_dataset([images, labels])) == ["a"]
    assert names(find_dataset(images=images / "a.tif", labels=labels / "a.png")) == ["a"]


def test_the_folder_with_the_name_of_labels_is_that(tmp_path, make):
    make.image("pictures/a.tif")
    truth = make.labels("masks/a.png")
    dataset = find_dataset([tmp_path / "masks", tmp_path / "pictures"])
    np.testing.assert_array_equal(read_item(dataset.items[0]).labels, truth)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("x.png", "x_mask.png"),
        ("x.tif", "x_masks.tif"),
        ("x_img.tif", "x_masks.tif"),
        ("x.tif", "x_cp_masks.png"),
        ("train-volume.tif", "train-labels.tif"),
    ],
)
def test_one_folder(tmp_path, make, image, label):
    make.image(image)
    make.labels(label)
    make.image("y_flows.tif")  # by-products and other files do not matter
    (tmp_path / "x_seg.npy").write_bytes(b"pickle")
    (tmp_path / "notes.txt").write_text("cells")
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert len(find_dataset([tmp_path]).items) == 1
    assert len(find_dataset([tmp_path / image]).items) == 1
    assert len(find_dataset([tmp_path / label]).items) == 1
    assert len(find_dataset([tmp_path / label, tmp_path / image]).items) == 1


def test_images_without_a_label_are_a_note(tmp_path, make):
    for name in "abc":
        make.image(f"images/{name}.tif")
    make.labels("labels/b.tif")
    dataset = find_dataset([tmp_path])
    assert names(dataset) == ["b"]
    assert any("2 images have no label" in note and "a.tif" in note for note in dataset.notes)


def test_a_training_folder_inside(tmp_path, make):
    make.image("train/images/a.tif")
    make.labels("train/labels/a.tif")
    make.image("test/images/b.tif")
    dataset = find_dataset([tmp_path])
    assert names(dataset) == ["a"]
    assert "taken from train/" in dataset.notes


def test_several_places_are_one_set(tmp_path, make):
    for place in ("one", "two", "three"):
        make.image(f"{place}/images/{place}.tif")
        make.labels(f"{place}/labels/{place}.tif")
    dataset = find_dataset([tmp_path / "one", tmp_path / "two", tmp_path / "three"])
    assert names(dataset) == ["one", "two", "three"]
    assert names(find_dataset([tmp_path / "one", tmp_path / "two"])) == ["one", "two"]


@pytest.mark.parametrize("n_pages", [1, 3, 4, 5, 12])
@pytest.mark.parametrize("writer", ["shaped", "imagej", "pages"])
def test_a_stack_and_its_labels_are_images(tmp_path, make, n_pages, writer):
    stack = make.rng.integers(0, 99, (n_pages, 12, 16), dtype=np.uint8)
    labels = 255 * (stack > 50).astype(np.uint8)
    for name, data in (("train-volume.tif", stack), ("train-labels.tif", labels)):
        if writer == "pages":
            tifffile.imwrite(tmp_path / name, data, photometric="minisblack", metadata=None)
        elif writer == "imagej":
            tifffile.imwrite(tmp_path / name, data, imagej=True)
        else:
            tifffile.imwrite(tmp_path / name, data, photometric="minisblack")
    dataset = find_dataset([tmp_path])
    assert len(dataset.items) == n_pages
    assert (dataset.labels_are, dataset.n_channels, dataset.axes) == ("mask", 1, "YX")
    for k, item in enumerate(dataset.items):
        read = read_item(item)
        np.testing.assert_array_equal(read.image, stack[k][None])
        np.testing.assert_array_equal(read.labels, stack[k] > 50)
    if n_pages == 12:
        assert names(dataset)[3] == "train-volume[03]"


@pytest.mark.parametrize("n_pages", [3, 4])
def test_short_stacks_as_tifffile_writes_them_are_pages(tmp_path, make, n_pages):
    stack = make.rng.integers(0, 99, (n_pages, 12, 16), dtype=np.uint8)
    with pytest.warns(DeprecationWarning, match="RGB"):
        tifffile.imwrite(tmp_path / "a.tif", stack)
        tifffile.imwrite(tmp_path / "a_mask.tif", stack // 50)
    dataset = find_dataset([tmp_path])
    assert (len(dataset.items), dataset.n_channels) == (n_pages, 1)


def test_stacks_are_volumes_when_asked(tmp_path, make):
    image = make.image("images/a.tif", (5, 12, 16))
    truth = make.labels("labels/a.tif", shape=(5, 12, 16))
    assert len(find_dataset([tmp_path]).items) == 5
    dataset = find_dataset([tmp_path], axes="ZYX")
    assert (len(dataset.items), dataset.axes) == (1, "ZYX")
    read = read_item(dataset.items[0])
    np.testing.assert_array_equal(read.image, image[None])
    np.testing.assert_array_equal(read.labels, truth)
    assert dataset.items[0].shape == (5, 12, 16)


def test_named_volumes_are_volumes_unless_planes_are_asked_for(tmp_path, make):
    (tmp_path / "images").mkdir()
    data = make.rng.random((4, 2, 12, 16), dtype=np.float32)
    write_image(tmp_path / "images" / "a.tif", data, "ZCYX", (2.0, 0.5, 0.5))
    make.labels("labels/a.tif", shape=(4, 12, 16))
    dataset = find_dataset([tmp_path])
    assert (dataset.axes, dataset.n_channels) == ("ZYX", 2)
    read = read_item(dataset.items[0])
    np.testing.assert_array_equal(read.image, np.moveaxis(data, 1, 0))
    assert read.pixel_size_um == (2.0, 0.5, 0.5)
    planes = find_dataset([tmp_path], axes="YX")
    assert (planes.axes, len(planes.items)) == ("YX", 4)
    np.testing.assert_array_equal(read_item(planes.items[3]).image, data[3])
    assert planes.items[3].pixel_size_um == (0.5, 0.5)


def test_a_volume_annotated_in_a_few_slices(tmp_path, make):
    make.image("images/a.tif", (6, 12, 16))
    truth = make.labels("labels/a.tif", shape=(6, 12, 16))
    truth[[0, 1, 3, 5]] = 99
    make.write("labels/a.tif", truth)
    read = read_item(find_dataset([tmp_path], axes="ZYX", ignore_value=99).items[0])
    assert read.annotated.all(axis=(1, 2)).tolist() == [False, False, True, False, True, False]
    assert read.annotated.any(axis=(1, 2)).tolist() == [False, False, True, False, True, False]
    assert read.labels.max() == 3
    assert read.labels[0].max() == 0


def test_pages_with_one_label_are_channels(tmp_path, make):
    image = make.image("images/a.tif", (2, 12, 16))
    make.labels("labels/a.tif")
    dataset = find_dataset([tmp_path])
    assert (dataset.n_channels, len(dataset.items)) == (2, 1)
    np.testing.assert_array_equal(read_item(dataset.items[0]).image, image)


def test_colours_become_channels_first(tmp_path, make):
    image = make.image("images/a.png", (12, 16, 3))
    make.labels("labels/a.png")
    dataset = find_dataset([tmp_path])
    assert dataset.n_channels == 3
    read = read_item(dataset.items[0])
    np.testing.assert_array_equal(read.image, np.moveaxis(image, -1, 0))


@pytest.mark.parametrize("n_pages", [4, 5])
def test_a_stack_in_colour_is_images_with_channels(tmp_path, make, n_pages):
    (tmp_path / "images").mkdir()
    data = make.rng.integers(0, 9, (n_pages, 12, 16, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "images" / "a.tif", data, photometric="rgb")
    labels = make.labels("labels/a.tif", shape=(n_pages, 12, 16))
    for colours in (False, True):  # four pages pass for colours where a program says so
        if colours:
            options = {"photometric": "rgb", "planarconfig": "separate"}
            tifffile.imwrite(tmp_path / "labels" / "a.tif", labels, **options)
        dataset = find_dataset([tmp_path])
        assert (dataset.n_channels, dataset.axes, len(dataset.items)) == (3, "YX", n_pages)
        read = read_item(dataset.items[2])
        np.testing.assert_array_equal(read.image, np.moveaxis(data[2], -1, 0))
        np.testing.assert_array_equal(read.labels, labels[2])
    volume = read_item(find_dataset([tmp_path], axes="ZYX").items[0])
    np.testing.assert_array_equal(volume.image, np.moveaxis(data, -1, 0))


def test_time_series_are_images(tmp_path, make):
    (tmp_path / "images").mkdir()
    data = make.rng.integers(0, 9, (3, 2, 12, 16)).astype(np.uint16)
    write_image(tmp_path / "images" / "a.tif", data, "TCYX")
    make.labels("labels/a.tif", shape=(3, 12, 16))
    dataset = find_dataset([tmp_path])
    assert names(dataset) == ["a[0]", "a[1]", "a[2]"]
    np.testing.assert_array_equal(read_item(dataset.items[2]).image, data[2])


def test_ome_zarr_and_ome_tiff_in_folders(tmp_path, make):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    data = make.rng.integers(0, 9, (2, 12, 16)).astype(np.uint16)
    labels = np.zeros((12, 16), np.uint32)
    labels[3:5, 3:5], labels[8:, 8:], labels[0, 0] = 1, 70000, 2
    write_image(tmp_path / "images" / "a.ome.zarr", data, "CYX", (0.5, 0.5))
    write_image(tmp_path / "labels" / "a.ome.tif", labels, "YX", (0.5, 0.5))
    read = read_item(find_dataset([tmp_path]).items[0])
    np.testing.assert_array_equal(read.image, data)
    np.testing.assert_array_equal(read.labels, labels)
    assert read.pixel_size_um == (0.5, 0.5)


def test_what_is_said_goes_before_what_is_seen(tmp_path, make):
    make.image("images/a.tif")
    make.labels("labels/a.tif", ids=(1, 2, 4))
    assert find_dataset([tmp_path]).labels_are == "instances"
    classes = find_dataset([tmp_path], labels_are="classes")
    assert (classes.labels_are, classes.n_classes) == ("classes", 4)
    assert np.unique(read_item(classes.items[0]).labels).tolist() == [0, 1, 2, 3]
    mask = find_dataset([tmp_path], labels_are="mask")
    assert np.unique(read_item(mask.items[0]).labels).tolist() == [0, 1]
    ignored = find_dataset([tmp_path], ignore_value=4)
    read = read_item(ignored.items[0])
    assert (~read.annotated).sum() == 9
    assert read.labels.max() == 2


def test_empty_masks_are_legal(tmp_path, make):
    for name, ids in (("a", ()), ("b", (255,))):
        make.image(f"images/{name}.tif")
        make.labels(f"labels/{name}.tif", ids=ids)
    dataset = find_dataset([tmp_path])
    assert dataset.labels_are == "mask"
    assert read_item(dataset.items[0]).labels.max() == 0
    assert read_item(dataset.items[1]).labels.sum() == 9


def test_labels_without_any_object_are_told(tmp_path, make):
    make.image("images/a.tif")
    make.labels("labels/a.tif", ids=())
    assert "the labels are 0 everywhere: a mask without foreground" in " ".join(
        find_dataset([tmp_path]).notes
    )


def test_grey_labels_saved_as_colours_are_read(tmp_path, make):
    make.image("images/a.png")
    grey = make.labels("labels/a.png", dtype=np.uint8)
    make.write("labels/a.png", np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(read_item(find_dataset([tmp_path]).items[0]).labels, grey)


def test_nnunet(tmp_path, make):
    for case in ("c1", "c2"):
        for channel in range(2):
            make.image(f"imagesTr/{case}_000{channel}.tif")
    make.labels("labelsTr/c1.tif", ids=(1, 2, 3))
    labels = {"background": 0, "cell": 1, "wall": 2, "ignore": 3}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    dataset = find_dataset([tmp_path])
    assert names(dataset) == ["c1"]
    assert (dataset.n_channels, dataset.n_classes) == (2, 3)
    assert dataset.class_names == ("background", "cell", "wall")
    read = read_item(dataset.items[0])
    assert read.image.shape == (2, 12, 16)
    assert (~read.annotated).sum() == 9


def test_reading_again_gives_the_same(tmp_path, make):
    make.image("images/a.tif")
    make.labels("labels/a.tif")
    item = find_dataset([tmp_path]).items[0]
    one, two = read_item(item), read_item(item)
    assert isinstance(one, Annotated)
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.labels, two.labels)
