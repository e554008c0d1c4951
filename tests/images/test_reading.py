"""Files of every kind as other programs write them, read back as what they hold."""

import io
import pickle
import warnings

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from biounet.errors import InputError
from biounet.images.formats import tiff_reading
from biounet.images.formats.disk_array import DiskArray
from biounet.images.image import as_image
from biounet.images.reading import image_stem, image_suffix, read_header, read_image
from biounet.images.regions import read_region

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 4000, (5, 30, 20), dtype=np.uint16)


def read(path, axes=None):
    """The image; its header must say the same."""
    image, header = read_image(path, axes), read_header(path, axes)
    assert header.shape == tuple(image.data.shape)
    assert header.dtype == image.data.dtype
    assert header.axes == image.axes
    assert header.pixel_size_um == image.pixel_size_um
    assert header.channel_names == image.channel_names
    return image


def test_imagej_hyperstack_with_calibration_and_channel_names(tmp_path):
    data = RNG.random((2, 3, 2, 30, 20), dtype=np.float32)
    tifffile.imwrite(
        tmp_path / "x.tif",
        data,
        imagej=True,
        resolution=(1 / 0.25, 1 / 0.5),
        metadata={
            "axes": "TZCYX",
            "unit": "\\u00B5m",
            "spacing": 2.0,
            "Labels": ["DAPI", "GFP", *"3456789abc"],
        },
    )
    image = read(tmp_path / "x.tif")
    assert image.axes == "TZCYX"
    assert image.pixel_size_um == pytest.approx((2.0, 0.5, 0.25))
    assert image.channel_names == ("DAPI", "GFP")
    np.testing.assert_array_equal(image.data, data)


def test_ome_tiff_with_physical_sizes(tmp_path):
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 250,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeZ": 0.002,
        "PhysicalSizeZUnit": "mm",
        "Channel": {"Name": ["a", "b", "c"]},
    }
    data = RNG.integers(0, 99, (3, 4, 30, 20), dtype=np.int32)
    tifffile.imwrite(tmp_path / "x.ome.tif", data, metadata=metadata, photometric="minisblack")
    image = read(tmp_path / "x.ome.tif")
    assert image.axes == "CZYX"
    assert image.pixel_size_um == pytest.approx((2.0, 0.5, 0.25))
    assert image.channel_names == ("a", "b", "c")
    np.testing.assert_array_equal(image.data, data)


def test_pages_without_axes_are_said_to_be_without(tmp_path):
    tifffile.imwrite(tmp_path / "shaped.tif", STACK)
    with tifffile.TiffWriter(tmp_path / "plain.tif") as writer:
        for page in STACK:
            writer.write(page, contiguous=False, metadata=None)
    tifffile.imwrite(tmp_path / "imagej.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    for name in ("shaped", "plain", "imagej"):
        assert read(tmp_path / f"{name}.tif").axes == "?YX"
        image = read(tmp_path / f"{name}.tif", "zyx")
        assert image.axes == "ZYX"
        np.testing.assert_array_equal(image.data, STACK)


def test_an_imagej_stack_with_a_slice_distance_is_a_volume(tmp_path):
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "micron"}
    tifffile.imwrite(tmp_path / "x.tif", STACK, imagej=True, metadata=metadata, resolution=(5, 5))
    image = read(tmp_path / "x.tif")
    assert image.axes == "ZYX"
    assert image.pixel_size_um == pytest.approx((0.5, 0.2, 0.2))


def test_colours_of_a_tiff_are_channels(tmp_path):
    data = RNG.integers(0, 255, (30, 20, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", data, photometric="rgb")
    assert read(tmp_path / "x.tif").axes == "YXC"


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"planarconfig": "separate"}])
def test_pages_in_colour_are_a_stack_of_images_with_channels(tmp_path, options):
    data = RNG.integers(0, 255, (5, 30, 20, 3), dtype=np.uint8)
    planar = "planarconfig" in options
    written = np.moveaxis(data, -1, 1) if planar else data
    tifffile.imwrite(tmp_path / "x.tif", written, photometric="rgb", **options)
    image = read(tmp_path / "x.tif")
    assert image.axes == ("?CYX" if planar else "?YXC")
    np.testing.assert_array_equal(image.data, written)
    assert read(tmp_path / "x.tif", "ZCYX" if planar else "ZYXC").axes[0] == "Z"


def test_an_imagej_stack_in_colour_with_a_slice_distance_is_a_volume(tmp_path):
    data = RNG.integers(0, 255, (5, 30, 20, 3), dtype=np.uint8)
    metadata = {"axes": "ZYXS", "spacing": 0.5, "unit": "micron"}
    tifffile.imwrite(tmp_path / "x.tif", data, imagej=True, metadata=metadata, photometric="rgb")
    assert read(tmp_path / "x.tif").axes == "ZYXC"


def test_only_metric_resolutions_are_pixel_sizes(tmp_path):
    for unit, expected in (("CENTIMETER", (0.5, 0.5)), ("INCH", None), ("NONE", None)):
        tifffile.imwrite(
            tmp_path / "x.tif", STACK[0], resolution=(20000, 20000), resolutionunit=unit
        )
        assert read(tmp_path / "x.tif").pixel_size_um == expected


@pytest.mark.parametrize("n_bits", [8, 16])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_png_keeps_its_depth(tmp_path, n_bits, colours):
    data = RNG.integers(0, 2**n_bits, (30, 20, *colours)).astype(f"uint{n_bits}")
    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(data))
    image = read(tmp_path / "x.png")
    assert image.axes == ("YXC" if colours else "YX")
    np.testing.assert_array_equal(image.data, data)
    assert image.data.dtype == data.dtype


def test_one_bit_png_is_black_and_white(tmp_path):
    Pillow.fromarray(np.eye(5, dtype=bool)).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read(tmp_path / "x.png").data, 255 * np.eye(5, dtype=np.uint8))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg(tmp_path, mode):
    Pillow.new(mode, (20, 30), 77 if mode == "L" else (77, 77, 77)).save(tmp_path / "x.jpg")
    image = read(tmp_path / "x.jpg")
    assert image.axes == ("YX" if mode == "L" else "YXC")
    assert np.asarray(image.data).shape[:2] == (30, 20)
    assert (np.asarray(image.data) == 77).all()


@pytest.mark.parametrize("options", [{"tile": (64, 64), "compression": "zlib"}, {"bigtiff": True}])
def test_large_tiffs_are_read_by_regions(tmp_path, monkeypatch, options):
    monkeypatch.setattr(tiff_reading, "LAZY_BYTES", 1000)
    data = RNG.integers(0, 4000, (2, 300, 200), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", data, photometric="minisblack", **options)
    lazy = read(tmp_path / "x.tif").data
    assert isinstance(lazy, DiskArray)
    expected = read_region(data, (-3, 150), (70, 210))
    np.testing.assert_array_equal(read_region(lazy, (-3, 150), (70, 210)), expected)
    copy = pickle.loads(pickle.dumps(lazy))
    np.testing.assert_array_equal(copy, data)


def test_a_lazy_file_is_closed_when_it_is_no_longer_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_reading, "LAZY_BYTES", 1000)
    tifffile.imwrite(tmp_path / "x.tif", STACK)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        image = read_image(tmp_path / "x.tif")
        assert np.asarray(image.data[0, 0, :2]).tolist() == STACK[0, 0, :2].tolist()
        del image


def test_the_header_tells_of_a_missing_end(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", STACK[0])
    content = (tmp_path / "x.tif").read_bytes()
    (tmp_path / "x.tif").write_bytes(content[:-1])
    with pytest.raises(InputError, match="ends 1 bytes too early"):
        read_header(tmp_path / "x.tif")


def test_a_damaged_tile_is_told_when_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_reading, "LAZY_BYTES", 1000)
    data = RNG.integers(0, 255, (256, 256), dtype=np.uint8)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, data, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[5]
    content = bytearray(path.read_bytes())
    content[offset : offset + 200] = bytes(200)
    path.write_bytes(content)
    lazy = read_image(path).data
    np.testing.assert_array_equal(lazy[:64], data[:64])
    with pytest.raises(InputError, match=r"damaged pixels in .*x\.tif"):
        lazy[64:128]


def test_a_file_that_goes_while_it_is_read_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_reading, "LAZY_BYTES", 1000)
    tifffile.imwrite(tmp_path / "x.tif", STACK)
    lazy = read_image(tmp_path / "x.tif").data
    (tmp_path / "x.tif").unlink()
    with pytest.raises(InputError, match="gone while it was read"):
        lazy[0]


def test_suffixes_and_stems(tmp_path):
    names = ("a.tif", "a.ome.tif", "a.b.OME.TIFF", "a.ome.zarr", "a.nii.gz", ".png")
    paths = [tmp_path / name for name in names]
    expected = [".tif", ".ome.tif", ".OME.TIFF", ".ome.zarr", None, None]
    assert [image_suffix(path) for path in paths] == expected
    assert [image_stem(path) for path in paths[:4]] == ["a", "a", "a.b", "a"]


def test_arrays_pass_through():
    lazy = object.__new__(DiskArray)
    lazy._array = STACK
    assert as_image(lazy).data is lazy
    assert as_image(STACK).axes == "?YX"
    assert as_image(STACK[0]).axes == "YX"
    assert as_image(STACK, "cyx").axes == "CYX"
    assert as_image(as_image(STACK), "ZYX").axes == "ZYX"
    assert as_image([[1, 2], [3, 4]]).axes == "YX"


def test_a_jpeg_in_memory_of_another_kind_is_not_mistaken(tmp_path):
    content = io.BytesIO()
    Pillow.new("CMYK", (4, 4)).save(content, "JPEG")
    (tmp_path / "x.jpg").write_bytes(content.getvalue())
    with pytest.raises(InputError, match="CMYK"):
        read_image(tmp_path / "x.jpg")
