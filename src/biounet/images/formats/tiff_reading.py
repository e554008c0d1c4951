"""Read TIFF files: plain, ImageJ hyperstacks, OME-TIFF; large ones by regions."""

import contextlib
import logging
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.images.formats.disk_array import DiskArray, Opened
from biounet.images.formats.picture import transparent
from biounet.images.formats.tiff_metadata import channel_names, pixel_size_um
from biounet.images.image import AXES, Header, check_axes

TIFF_SUFFIXES = (".tif", ".tiff")

_PAGES = ("?YX", "?YXC", "?CYX")
"""Pages without a name, grey or in colour."""

_PAGES_OF_IMAGEJ = {"ZYX": "?YX", "ZYXC": "?YXC", "CYXC": "?YXC"}
"""ImageJ calls the pages of any stack slices, and has no channels of colour images."""

LAZY_BYTES = 2**24
"""Pixels of more bytes than this are read by regions, when they are asked for."""


def read_tiff_header(path: Path, axes: str | None = None) -> Header:
    """Shape, type, axes, pixel size and channel names of a TIFF."""
    with _opened(path) as tiff:
        return _header(tiff, path, axes)


def read_tiff(path: Path, axes: str | None = None) -> tuple[Header, NDArray[Any] | DiskArray]:
    """Header and pixels of a TIFF; those of a large one stay in the file until asked for."""
    with _opened(path) as tiff:
        header = _header(tiff, path, axes)
        if math.prod(header.shape) * header.dtype.itemsize <= LAZY_BYTES:
            return header, np.asarray(tiff.series[0].asarray()).reshape(header.shape)
    return header, DiskArray(path, _open_lazily)


def _open_lazily(path: Path) -> Opened:
    import zarr  # takes a third of a second: only where needed

    store = tifffile.imread(path, aszarr=True, series=0, level=0)
    return zarr.open_array(store, mode="r"), store.close


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The open file; whatever goes wrong while it is read becomes an InputError.

    tifffile only logs a broken chain of pages and gives the pages before the break, so errors
    that it logs count as well.
    """
    logged = _Errors()
    logger = logging.getLogger("tifffile")
    logger.addHandler(logged)
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff
    except (InputError, OSError):
        raise
    except Exception as error:  # each codec and each tag has its own exceptions
        raise _damaged(path, error) from error
    finally:
        logger.removeHandler(logged)
    if logged.messages:
        raise _damaged(path, logged.messages[0])


class _Errors(logging.Handler):
    """Collects the errors that this thread logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


def _damaged(path: Path, error: Exception | str) -> InputError:
    return InputError(
        f"a damaged or truncated TIFF file: {path} ({' '.join(str(error).split())[:200]})",
        "a whole TIFF",
        "copy or export it again, or take it out of the folder",
    )


def _header(tiff: tifffile.TiffFile, path: Path, axes: str | None) -> Header:
    series = _the_image(tiff, path)
    _check_colours(tiff, series.keyframe, path)
    _check_end(tiff, series, path)
    found = "".join("?" if a in "QI" else "C" if a == "S" else a for a in series.axes)
    if tiff.is_imagej and "spacing" not in (tiff.imagej_metadata or {}):
        found = _PAGES_OF_IMAGEJ.get(found, found)
    named = found if axes is None else check_axes(axes, len(series.shape), str(path))
    if named not in _PAGES and (set(named) - set(AXES) or len(set(named)) != len(named)):
        raise InputError(
            f"axes {series.axes} of shape {series.shape} in {path}",
            "axes of TCZYX, each once",
            "name them with --axes, or save the image as an ImageJ hyperstack or OME-TIFF",
        )
    shape = tuple(series.shape)
    return Header(
        path,
        shape,
        np.dtype(series.dtype),
        named,
        pixel_size_um(tiff, series.keyframe, "Z" in named),
        channel_names(tiff, named, shape),
    )


def _the_image(tiff: tifffile.TiffFile, path: Path) -> Any:
    """The one image of the file (a series of pages); smaller ones beside it are thumbnails."""
    all_series = list(tiff.series)
    n_pixels = [math.prod(series.shape) for series in all_series]
    if n_pixels[0] < max(n_pixels) or n_pixels.count(n_pixels[0]) > 1:
        raise InputError(
            f"{len(n_pixels)} images of different kinds or sizes in one TIFF: {path}",
            "one image, or pages of one size and type",
            "save them as separate files",
        )
    first = all_series[0]
    if first.kind == "generic" and len(tiff.pages) > sum(len(s.pages) for s in all_series):
        raise _damaged(path, "some of its pages cannot be read")
    return first


def _check_colours(tiff: tifffile.TiffFile, page: Any, path: Path) -> None:
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not tiff.is_imagej:
        raise InputError(
            f"a palette (indexed colour) TIFF: {path}",
            "grey values or RGB",
            "save it again as grey (in Fiji: Image > Type > 8-bit) or as RGB",
        )
    # planes stored apart are measured channels, whatever the writer called the fourth
    contiguous = page.planarconfig == tifffile.PLANARCONFIG.CONTIG
    alpha = {tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA}
    if contiguous and alpha & set(page.extrasamples):
        raise transparent(path)


def _check_end(tiff: tifffile.TiffFile, series: Any, path: Path) -> None:
    """Whether the pixels of the last page lie inside the file, without reading them."""
    if series.dataoffset is not None:
        end = series.dataoffset + series.nbytes
    else:
        last = series.pages[-1]
        if last is None:  # an OME-TIFF without this page
            return
        ends = zip(last.dataoffsets, last.databytecounts, strict=False)
        end = max((offset + count for offset, count in ends), default=0)
    if end > tiff.filehandle.size:
        raise _damaged(path, f"it ends {end - tiff.filehandle.size} bytes too early")
