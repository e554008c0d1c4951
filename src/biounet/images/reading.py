"""Read an image file of any kind that is understood."""

from pathlib import Path

from biounet.errors import InputError
from biounet.images.image import Header, Image, check_axes
from biounet.images.picture import (
    JPEG_SUFFIXES,
    PNG_SUFFIXES,
    read_jpeg,
    read_png,
    read_png_header,
)
from biounet.images.tiff import TIFF_SUFFIXES, read_tiff, read_tiff_header

IMAGE_SUFFIXES = (*TIFF_SUFFIXES, *PNG_SUFFIXES, *JPEG_SUFFIXES)


def image_suffix(path: Path) -> str | None:
    """The suffix by which `path` counts as an image, as written (".ome.tif" is one); else None."""
    name = path.name.lower()
    for suffix in (".ome.tif", ".ome.tiff", *IMAGE_SUFFIXES):
        if name.endswith(suffix) and len(name) > len(suffix):
            return path.name[-len(suffix) :]
    return None


def image_stem(path: Path) -> str:
    """The file name without the suffix that makes it an image."""
    suffix = image_suffix(path)
    return path.stem if suffix is None else path.name[: -len(suffix)]


def read_image(path: Path | str, axes: str | None = None) -> Image:
    """Read a TIFF, PNG or JPEG file.

    `axes` overrides the names of the axes that the file gives. The pixels keep their storage
    order and type; those of large TIFFs are lazy zarr arrays that read regions from the file.

    Raises InputError for a file that is missing, empty, damaged, of another type, with a palette
    or transparency, or `axes` that do not fit.
    """
    path = Path(path)
    _check_file(path)
    suffix = _suffix(path)
    if suffix in TIFF_SUFFIXES:
        header, pixels = read_tiff(path, axes)
        return Image(pixels, header.axes, header.pixel_size_um, header.channel_names, path)
    header, pixels = (read_png if suffix in PNG_SUFFIXES else read_jpeg)(path)
    named = header.axes if axes is None else check_axes(axes, len(header.shape), str(path))
    return Image(pixels, named, None, None, path)


def read_header(path: Path | str, axes: str | None = None) -> Header:
    """Shape, type, axes and pixel size of an image file, as `read_image` would give them."""
    path = Path(path)
    _check_file(path)
    suffix = _suffix(path)
    if suffix in TIFF_SUFFIXES:
        return read_tiff_header(path, axes)
    header = read_png_header(path) if suffix in PNG_SUFFIXES else read_jpeg(path)[0]
    if axes is None:
        return header
    named = check_axes(axes, len(header.shape), str(path))
    return Header(path, header.shape, header.dtype, named)


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _check_file(path: Path) -> None:
    if not path.exists():
        raise InputError(f"no file {path}", "an image file", "check the path")
    if image_suffix(path) is None:
        raise InputError(
            f"a file of an unknown type: {path}",
            "TIFF, PNG or JPEG",
            "save it as TIFF (in Fiji: File > Save As > Tiff)",
        )
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"an empty file (0 bytes): {path}", "an image", "copy or export it again")
