"""Read an image file of any kind that is understood."""

from dataclasses import replace
from pathlib import Path

from biounet.errors import InputError
from biounet.images.formats.ome_zarr_reading import (
    ZARR_SUFFIXES,
    read_ome_zarr,
    read_ome_zarr_header,
)
from biounet.images.formats.picture import (
    JPEG_SUFFIXES,
    PNG_SUFFIXES,
    read_jpeg,
    read_jpeg_header,
    read_png,
    read_png_header,
)
from biounet.images.formats.tiff_reading import TIFF_SUFFIXES, read_tiff, read_tiff_header
from biounet.images.image import Header, Image, check_axes
from biounet.images.regions import Pixels

FILE_SUFFIXES = (".ome.tif", ".ome.tiff", *TIFF_SUFFIXES, *PNG_SUFFIXES, *JPEG_SUFFIXES)


def image_suffix(path: Path) -> str | None:
    """The suffix by which `path` counts as an image, as written (".ome.tif" is one); else None."""
    name = path.name.lower()
    for suffix in (*FILE_SUFFIXES, *ZARR_SUFFIXES):
        if name.endswith(suffix) and len(name) > len(suffix):
            return path.name[-len(suffix) :]
    return None


def image_stem(path: Path) -> str:
    """The file name without the suffix that makes it an image."""
    suffix = image_suffix(path)
    return path.stem if suffix is None else path.name[: -len(suffix)]


def is_image(path: Path) -> bool:
    """Whether `path` is there and has the suffix of an image (a zarr is a folder)."""
    suffix = image_suffix(path)
    if suffix is None:
        return False
    return path.is_dir() if suffix.lower() in ZARR_SUFFIXES else path.is_file()


def read_image(path: Path | str, axes: str | None = None) -> Image:
    """Read a TIFF, PNG, JPEG or OME-Zarr image.

    `axes` overrides the names of the axes that the file gives. The pixels keep their storage
    order and type; those of a large TIFF and of a zarr stay on disk, and regions are read when
    they are asked for.

    Raises InputError for a file that is missing, empty, damaged, of another type, with a palette
    or transparency, or `axes` that do not fit.
    """
    path = Path(path)
    suffix = _suffix_of_existing(path)
    if suffix in TIFF_SUFFIXES:
        return _image(*read_tiff(path, axes))
    if suffix in ZARR_SUFFIXES:
        return _image(*read_ome_zarr(path, axes))
    header, pixels = read_png(path) if suffix in PNG_SUFFIXES else read_jpeg(path)
    return _image(_named(header, axes), pixels)


def read_header(path: Path | str, axes: str | None = None) -> Header:
    """Shape, type, axes and pixel size of an image file, as `read_image` would give them."""
    path = Path(path)
    suffix = _suffix_of_existing(path)
    if suffix in TIFF_SUFFIXES:
        return read_tiff_header(path, axes)
    if suffix in ZARR_SUFFIXES:
        return read_ome_zarr_header(path, axes)
    read_one = read_png_header if suffix in PNG_SUFFIXES else read_jpeg_header
    return _named(read_one(path), axes)


def _image(header: Header, pixels: Pixels) -> Image:
    return Image(pixels, header.axes, header.pixel_size_um, header.channel_names, header.path)


def _named(header: Header, axes: str | None) -> Header:
    if axes is None:
        return header
    return replace(header, axes=check_axes(axes, len(header.shape), str(header.path)))


def _suffix_of_existing(path: Path) -> str:
    """The last suffix, in lower case, of an image that is there and not empty."""
    if not path.exists():
        raise InputError(f"no file {path}", "an image", "check the path")
    if not is_image(path):
        raise InputError(
            f"a {'folder' if path.is_dir() else 'file'} that is no image: {path}",
            "a TIFF, PNG, JPEG or OME-Zarr image",
            "save it as TIFF (in Fiji: File > Save As > Tiff)",
        )
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"an empty file (0 bytes): {path}", "an image", "copy or export it again")
    return path.suffix.lower()
