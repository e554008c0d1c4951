"""Pixel size and channel names in the tags of TIFF files: ImageJ, OME, and plain."""

from typing import Any

import tifffile

from biounet.images.image import UM_PER_UNIT


def pixel_size_um(tiff: tifffile.TiffFile, page: Any, has_z: bool) -> tuple[float, ...] | None:
    """(Y, X), or (Z, Y, X) when the file has an axis Z; None when it does not tell all of it."""
    if tiff.is_ome:
        return _ome_pixel_size_um(tiff, has_z)
    unit, spacing = None, None
    if tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        unit = UM_PER_UNIT.get(str(metadata.get("unit", "")).replace("\\u00B5", "\u00b5"))
        spacing = metadata.get("spacing")
    elif page.resolutionunit == tifffile.RESUNIT.CENTIMETER:
        unit = 1e4  # inches are left out: they are print resolutions, not measurements
    tags = [page.tags.get(name) for name in ("YResolution", "XResolution")]
    if unit is None or any(tag is None or 0 in tag.value for tag in tags):
        return None
    in_plane = tuple(unit * tag.value[1] / tag.value[0] for tag in tags)
    if has_z:
        return None if spacing is None else (unit * float(spacing), *in_plane)
    return in_plane


def channel_names(
    tiff: tifffile.TiffFile, axes: str, shape: tuple[int, ...]
) -> tuple[str, ...] | None:
    """The names of the channels, when each has one."""
    n_channels = shape[axes.index("C")] if "C" in axes else 1
    names: list[str] = []
    if tiff.is_ome:
        channels = _ome_pixels(tiff).get("Channel", [])
        channels = channels if isinstance(channels, list | tuple) else [channels]
        names = [str(c["Name"]) for c in channels if isinstance(c, dict) and "Name" in c]
    elif tiff.is_imagej and "C" in axes:
        labels = (tiff.imagej_metadata or {}).get("Labels", [])
        names = [str(label) for label in labels][:n_channels]  # per page, channels run fastest
    return tuple(names) if len(names) == n_channels else None


def _ome_pixels(tiff: tifffile.TiffFile) -> dict[str, Any]:
    """The attributes of the first image's Pixels element; empty when there is none."""
    try:
        image = tifffile.xml2dict(tiff.ome_metadata or "")["OME"]["Image"]
        first = image[0] if isinstance(image, list | tuple) else image
        return dict(first["Pixels"])
    except (KeyError, TypeError, ValueError, SyntaxError):
        return {}


def _ome_pixel_size_um(tiff: tifffile.TiffFile, has_z: bool) -> tuple[float, ...] | None:
    pixels = _ome_pixels(tiff)
    sizes = []
    for axis in "ZYX" if has_z else "YX":
        unit = UM_PER_UNIT.get(str(pixels.get(f"PhysicalSize{axis}Unit", "um")))
        size = pixels.get(f"PhysicalSize{axis}")
        if unit is None or size is None:
            return None
        sizes.append(float(size) * unit)
    return tuple(sizes)
