"""What is written comes back, opens elsewhere, and is there whole or not at all."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from biounet.errors import InputError
from biounet.images import atomic
from biounet.images.atomic import written_whole
from biounet.images.formats import tiff_writing
from biounet.images.reading import read_image
from biounet.images.writing import write_image

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32"])
@pytest.mark.parametrize("axes", ["YX", "CYX", "ZYX", "ZCYX", "CZYX", "TZCYX"])
def test_pixels_axes_size_and_names_come_back(tmp_path, suffix, dtype, axes):
    shape = tuple({"T": 2, "C": 3, "Z": 4, "Y": 20, "X": 30}[axis] for axis in axes)
    data = (RNG.random(shape) * 200).astype(dtype)
    size = (2.0, 0.5, 0.25) if "Z" in axes else (0.5, 0.25)
    names = ("a", "b", "c") if "C" in axes else None
    path = tmp_path / f"x{suffix}"
    write_image(path, data, axes, size, names)
    image = read_image(path)
    order = [axes.index(axis) for axis in image.axes]
    np.testing.assert_array_equal(np.asarray(image.data), np.transpose(data, order))
    assert image.data.dtype == data.dtype
    assert image.pixel_size_um == pytest.approx(size)
    assert image.channel_names == names
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_every_page_has_the_name_of_its_channel(tmp_path):
    write_image(tmp_path / "x.tif", np.zeros((3, 2, 4, 5), np.uint8), "ZCYX", None, ("a", "b"))
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        assert tiff.imagej_metadata["Labels"] == ["a", "b"] * 3


def test_imagej_finds_a_hyperstack(tmp_path):
    write_image(
        tmp_path / "x.tif",
        RNG.random((2, 20, 30), dtype=np.float32),
        "CYX",
        (0.5, 0.25),
        ("background", "cell"),
    )
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        assert tiff.is_imagej
        assert tiff.imagej_metadata["channels"] == 2
        assert tiff.imagej_metadata["unit"] == "micron"
        assert tiff.imagej_metadata["Labels"] == ["background", "cell"]
        tags = tiff.pages[0].tags
        x, y = (tags[name].value for name in ("XResolution", "YResolution"))
    assert x[0] / x[1] == pytest.approx(4)
    assert y[0] / y[1] == pytest.approx(2)


def test_large_images_become_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_writing, "CLASSIC_BYTES", 1000)
    data = RNG.integers(0, 255, (3, 40, 50), dtype=np.uint8)
    write_image(tmp_path / "x.tif", data, "CYX", (0.5, 0.25))
    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        assert tiff.is_bigtiff
    image = read_image(tmp_path / "x.tif")
    assert (image.axes, image.pixel_size_um) == ("CYX", (0.5, 0.25))
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_compressed_pixels_come_back(tmp_path, compression):
    data = RNG.integers(0, 5, (200, 200), dtype=np.uint16)
    write_image(tmp_path / "x.tif", data, "YX", compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif").data, data)
    assert (tmp_path / "x.tif").stat().st_size < data.nbytes / 2


@pytest.mark.parametrize(
    ("dtype", "stored"), [("bool", "uint8"), ("float64", "float32"), ("float16", "float32")]
)
def test_types_that_programs_do_not_read_are_converted(tmp_path, dtype, stored):
    data = np.eye(5).astype(dtype)
    write_image(tmp_path / "x.tif", data, "YX")
    image = read_image(tmp_path / "x.tif")
    assert image.data.dtype == stored
    np.testing.assert_array_equal(image.data, data.astype(stored))


@pytest.mark.parametrize(("axes", "shape"), [("YX", (6, 5)), ("YXC", (6, 5, 3))])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png(tmp_path, axes, shape, dtype):
    data = RNG.integers(0, 255, shape).astype(dtype)
    write_image(tmp_path / "x.png", data, axes)
    image = read_image(tmp_path / "x.png")
    assert image.axes == axes
    np.testing.assert_array_equal(image.data, data)


def test_pyramid_of_labels_takes_values_that_are_there(tmp_path):
    labels = RNG.choice(np.array([0, 7, 500], dtype=np.uint16), (513, 700))
    write_image(tmp_path / "x.ome.zarr", labels, "YX", reduction="nearest")
    group = zarr.open_group(tmp_path / "x.ome.zarr", mode="r")
    assert [group[str(k)].shape for k in range(3)] == [(513, 700), (257, 350), (129, 175)]
    np.testing.assert_array_equal(group["1"][...], labels[::2, ::2])
    np.testing.assert_array_equal(group["2"][...], labels[::4, ::4])
    assert "3" not in group


def test_pyramid_of_an_image_takes_means(tmp_path):
    image = RNG.integers(0, 60000, (2, 514, 30)).astype(np.uint16)
    write_image(tmp_path / "x.ome.zarr", image, "CYX", (0.5, 0.5))
    level = zarr.open_array(tmp_path / "x.ome.zarr" / "1", mode="r")[...]
    expected = image.reshape(2, 257, 2, 15, 2).mean(axis=(2, 4))
    np.testing.assert_array_equal(level, np.rint(expected))


def test_the_last_odd_row_stands_for_itself(tmp_path):
    image = np.zeros((257, 4), dtype=np.float32)
    image[-1] = 8
    write_image(tmp_path / "x.ome.zarr", image, "YX")
    level = zarr.open_array(tmp_path / "x.ome.zarr" / "1", mode="r")[...]
    assert level[-1].tolist() == [8, 8]
    assert level[-2].tolist() == [0, 0]


def test_what_was_there_is_replaced(tmp_path):
    for name in ("x.tif", "x.ome.zarr"):
        for value in (1, 2):
            write_image(tmp_path / name, np.full((5, 5), value, np.uint8), "YX")
        assert (np.asarray(read_image(tmp_path / name).data) == 2).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.ome.zarr", "x.tif"]


def no_space(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", ["x.tif", "x.png", "x.ome.zarr"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Path, "write_bytes", no_space)
    monkeypatch.setattr(tifffile.FileHandle, "write_array", no_space)
    monkeypatch.setattr(zarr.storage.LocalStore, "set", no_space)
    with pytest.raises(InputError, match=r"no space left on the disk while writing .*x"):
        write_image(tmp_path / name, np.zeros((50, 50), np.uint8), "YX")
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_disk(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with (
        pytest.raises(InputError, match="no space left"),
        written_whole(tmp_path / "x.tif") as temporary,
    ):
        temporary.symlink_to(full)
        tifffile.imwrite(temporary, np.zeros((500, 500), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_old_file(tmp_path, monkeypatch):
    write_image(tmp_path / "x.tif", np.ones((5, 5), np.uint8), "YX")
    monkeypatch.setattr(tifffile.FileHandle, "write_array", no_space)
    with pytest.raises(InputError, match="no space"):
        write_image(tmp_path / "x.tif", np.zeros((5, 5), np.uint8), "YX")
    assert np.asarray(read_image(tmp_path / "x.tif").data).all()
    assert [p.name for p in tmp_path.iterdir()] == ["x.tif"]


def test_a_mistake_in_the_program_is_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (errno.EROFS, "may not be written to"),
        (errno.EACCES, "may not be written to"),
        (errno.EDQUOT, "no space left"),
        (errno.ENOENT, "no folder"),
        (errno.EIO, "an error of the system"),
    ],
)
def test_the_systems_errors_in_words(tmp_path, number, found):
    with (
        pytest.raises(InputError, match=found),
        written_whole(tmp_path / "x.tif"),
    ):
        raise OSError(number, os.strerror(number))


@pytest.fixture
def locked(tmp_path):
    """A folder that may not be written to; root, who may write everywhere, is nobody meanwhile."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


@pytest.mark.parametrize("name", ["x.tif", "x.png", "x.ome.zarr"])
def test_a_read_only_folder(locked, name):
    with pytest.raises(InputError, match="may not be written to"):
        write_image(locked / name, np.zeros((5, 5), np.uint8), "YX")


def test_short_writes_of_numpy_count_as_a_full_disk(tmp_path):
    error = OSError("4096 requested and 0 written")
    assert "no space left" in str(atomic.cannot_write(tmp_path / "x", error))
