"""OME-Zarr as other programs write it: 0.4 and 0.5, units, series, sharding, damage."""

import json
import shutil

import numpy as np
import pytest
import yaozarrs
import zarr
from yaozarrs import v05

from biounet.errors import InputError
from biounet.images.formats.ome_zarr_writing import blocks, create_ome_zarr, write_pyramid
from biounet.images.reading import read_header, read_image
from biounet.images.writing import write_image

DATA = np.arange(2 * 40 * 60, dtype=np.uint16).reshape(2, 40, 60)


def make(path, version="0.5", unit="micrometer", data=DATA, scale=(1, 0.5, 0.25), **more):
    """An image as a writer that follows the specification makes it, without our own code."""
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    group.create_array("s0", data=data, chunks=(1, 16, 16))
    spaces = [{"name": n, "type": "space", **({"unit": unit} if unit else {})} for n in "yx"]
    multiscale = {
        "axes": [{"name": "c", "type": "channel"}, *spaces],
        "datasets": [
            {
                "path": "s0",
                "coordinateTransformations": [{"type": "scale", "scale": list(scale)}],
            }
        ],
        **({"version": version} if version == "0.4" else {}),
        **more,
    }
    omero = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    attributes = {"multiscales": [multiscale], "omero": omero}
    if version != "0.4":
        attributes = {"ome": {"version": version, **attributes}}
    group.attrs.update(attributes)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_both_versions(tmp_path, version):
    image = read_image(make(tmp_path / "x.ome.zarr", version))
    assert image.axes == "CYX"
    assert image.pixel_size_um == (0.5, 0.25)
    assert image.channel_names == ("DAPI", "GFP")
    assert image.data.chunks == (1, 16, 16)
    np.testing.assert_array_equal(image.data[1, 5:20, :9], DATA[1, 5:20, :9])


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("nanometer", (0.0005, 0.00025)), ("millimeter", (500, 250)), (None, None), ("foot", None)],
)
def test_units(tmp_path, unit, expected):
    size = read_header(make(tmp_path / "x.zarr", unit=unit)).pixel_size_um
    assert size == (None if expected is None else pytest.approx(expected))


def test_scales_of_the_whole_image_count(tmp_path):
    scale = [{"type": "scale", "scale": [1, 2, 2]}]
    path = make(tmp_path / "x.zarr", coordinateTransformations=scale)
    assert read_header(path).pixel_size_um == (1.0, 0.5)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_behind_space_are_found_by_their_names(tmp_path, version):
    axes = [
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "c", "type": "channel"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    data = DATA.swapaxes(0, 1)
    make(tmp_path / "x.ome.zarr", version, data=data, scale=(0.5, 1, 0.25), axes=axes)
    image = read_image(tmp_path / "x.ome.zarr")
    assert (image.axes, image.pixel_size_um) == ("YCX", (0.5, 0.25))
    assert image.channel_names == ("DAPI", "GFP")
    np.testing.assert_array_equal(image.data, data)


def test_a_series_of_bioformats2raw(tmp_path):
    outer = zarr.create_group(tmp_path / "x.zarr", zarr_format=2)
    outer.attrs["bioformats2raw.layout"] = 3
    make(tmp_path / "x.zarr" / "0", "0.4")
    image = read_image(tmp_path / "x.zarr")
    assert image.axes == "CYX"
    np.testing.assert_array_equal(np.asarray(image.data), DATA)
    make(tmp_path / "x.zarr" / "1", "0.4")
    with pytest.raises(InputError, match="several images"):
        read_image(tmp_path / "x.zarr")


def test_a_plain_array_takes_axes(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=DATA)
    assert read_image(tmp_path / "x.zarr").axes == "?YX"
    assert read_image(tmp_path / "x.zarr", "CYX").axes == "CYX"


def test_what_we_write_is_valid(tmp_path):
    path = tmp_path / "x.ome.zarr"
    write_image(path, np.zeros((2, 600, 300), np.uint16), "CYX", (0.5, 0.25), ("a", "b"))
    yaozarrs.validate_zarr_store(str(path))
    image = v05.Image.model_validate(zarr.open_group(path, mode="r").attrs["ome"])
    assert image.multiscales[0].name == "x"
    scales = [d.coordinateTransformations[0].scale for d in image.multiscales[0].datasets]
    assert scales == [[1, 0.5, 0.25], [1, 1, 0.5], [1, 2, 1]]
    assert zarr.open_array(path / "0", mode="r").metadata.dimension_names == ("c", "y", "x")


def test_written_block_by_block_with_shards(tmp_path):
    path = tmp_path / "x.ome.zarr"
    data = np.random.default_rng(0).integers(0, 9, (300, 500), dtype=np.uint32)
    largest = create_ome_zarr(
        path, data.shape, data.dtype, "YX", chunks=(64, 64), shards=(128, 256)
    )
    assert largest.shards == (128, 256)
    for box in reversed(list(blocks(data.shape, largest.shards))):
        largest[box] = data[box]
    write_pyramid(path, "YX", "nearest")
    np.testing.assert_array_equal(read_image(path).data, data)
    level = zarr.open_array(path / "1", mode="r")
    np.testing.assert_array_equal(level[...], data[::2, ::2])


def test_blocks_cover_every_pixel_once():
    seen = np.zeros((7, 10, 3), dtype=int)
    for box in blocks(seen.shape, (3, 4, 3)):
        seen[box] += 1
    assert (seen == 1).all()


def break_chunk(path):
    chunk = next(p for p in sorted((path / "s0" / "c").rglob("*")) if p.is_file())
    chunk.write_bytes(b"rubbish")


def forget(key):
    def change(path):
        text = json.loads((path / "zarr.json").read_text())
        del text["attributes"]["ome"]["multiscales"][0][key]
        (path / "zarr.json").write_text(json.dumps(text))

    return change


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (break_chunk, "damaged pixels in"),
        (lambda path: (path / "zarr.json").write_text("{"), "a zarr that cannot be read"),
        (lambda path: (path / "zarr.json").unlink(), "a zarr that cannot be read"),
        (lambda path: shutil.rmtree(path / "s0"), "a zarr that cannot be read"),
        (forget("axes"), "a zarr that cannot be read.*axes"),
        (forget("datasets"), "a zarr that cannot be read.*datasets"),
    ],
)
def test_damage_is_told(tmp_path, damage, found):
    path = make(tmp_path / "x.ome.zarr")
    damage(path)
    with pytest.raises(InputError, match=found):
        read_image(path).data[...]


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({}, "no OME-Zarr image"),
        ({"ome": {"version": "0.5", "plate": {}}}, "a plate|plate with many images"),
    ],
)
def test_other_groups_are_refused(tmp_path, attributes, found):
    zarr.create_group(tmp_path / "x.zarr").attrs.update(attributes)
    with pytest.raises(InputError, match=found):
        read_image(tmp_path / "x.zarr")
