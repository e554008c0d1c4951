"""The real sets, found and read as they lie."""

import numpy as np
import pytest

from biounet.images import find_dataset, intensity_statistics, read_item


@pytest.mark.parametrize(
    ("folder", "truth", "n_items", "kind", "axes"),
    [
        ("isbi2012/train", "gold", 30, "mask", "YX"),
        ("isbi2012", "gold", 30, "mask", "YX"),
        ("DIC-C2DH-HeLa", "gold", 9, "instances", "YX"),
        ("DIC-C2DH-HeLa/01", "gold+silver", 84, "instances", "YX"),
        ("DIC-C2DH-HeLa", "silver", 84, "instances", "YX"),
        ("PhC-C2DL-PSC", "gold", 2, "instances", "YX"),
        ("PhC-C2DL-PSC", "gold+silver", 22, "instances", "YX"),
        ("usiigaci", "gold", 20, "instances", "YX"),
        ("dsb2018_fluorescence", "gold", 420, "instances", "YX"),
        ("lungs_64px", "gold", 210, "mask", "YX"),
    ],
)
def test_every_set_is_found(shared, folder, truth, n_items, kind, axes):
    dataset = find_dataset([shared / "data" / folder], truth=truth)
    assert (len(dataset.items), dataset.labels_are, dataset.axes) == (n_items, kind, axes)
    assert (dataset.n_channels, dataset.n_classes) == (1, 2)
    for item in dataset.items[:: max(1, n_items // 10)]:
        read = read_item(item)
        assert read.image.shape == (1, *item.shape)
        assert read.labels.shape == item.shape
        assert read.labels.max() > 0
        assert intensity_statistics(read.image, "CYX").std[0] > 0


def test_partly_annotated_frames_of_hela(shared):
    """By SOURCES.md: 3 of 18 cells in frame 067; 034 and 039 lack one cell each."""
    dataset = find_dataset([shared / "data" / "DIC-C2DH-HeLa"])
    read = {item.name: read_item(item) for item in dataset.items}
    partly = {name: r.annotated.mean() for name, r in read.items() if r.annotated is not None}
    assert partly.keys() == {"01/t034", "01/t039", "01/t067"}
    assert 0.95 < partly["01/t034"] < 1
    assert 0.95 < partly["01/t039"] < 1
    assert 0.1 < partly["01/t067"] < 0.4
    assert len(np.unique(read["01/t067"].labels)) == 1 + 3
    assert read["01/t067"].pixel_size_um == pytest.approx((0.19, 0.19), rel=1e-3)


def test_cells_of_isbi_2012_are_white(shared):
    read = read_item(find_dataset([shared / "data" / "isbi2012" / "train"]).items[0])
    assert read.image[0][read.labels == 1].mean() > read.image[0][read.labels == 0].mean()
    assert 0.7 < read.labels.mean() < 0.85
