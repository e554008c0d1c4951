"""Write objects: ImageJ ROIs, GeoJSON for QuPath, a table of measurements."""

import csv
import importlib.util
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from biounet.errors import InputError
from biounet.images.atomic import written_whole
from biounet.images.outlines import Outline, trace_outlines

LARGEST_ROI_PX = 2**15 - 1
"""ImageJ keeps the corners of a polygon in 16 bits."""


@dataclass(frozen=True)
class Piece:
    """A window of one plane or volume, with the objects to describe wholly inside it.

    Attributes:
        labels: (Y, X) or (Z, Y, X).
        start: where the window begins in the image, px.
        position: where it lies along the other axes, such as {"T": 3}.
        ids: the objects to describe; None: all.
        grey: (C, …) the image in the same window; None: no intensities are wanted.
    """

    labels: NDArray[Any]
    start: tuple[int, ...]
    position: dict[str, int]
    ids: NDArray[Any] | None = None
    grey: NDArray[Any] | None = None

    def numbered(self) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """The ids to describe, in order, and the labels as 1, 2, … in that order, 0 elsewhere."""
        ids = np.unique(self.labels if self.ids is None else self.ids)
        ids = ids[ids > 0]
        places = np.searchsorted(ids, self.labels)
        found = np.append(ids, 0)[places] == self.labels
        return ids, np.where(found & (self.labels > 0), places + 1, 0).astype(np.int32)


def write_rois(path: Path, pieces: Iterable[Piece]) -> None:
    """Write the outer outlines as ImageJ ROIs in a zip; one ROI for each part in each plane.

    Raises InputError for objects beyond the coordinates that ImageJ can keep.
    """
    from roifile import ImagejRoi

    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        names: set[str] = set()
        for identity, position, outlines in _outlines(pieces):
            for outline in outlines:
                if outline.outer.max() > LARGEST_ROI_PX:
                    raise InputError(
                        f"an object at {outline.outer.max()} px for {path}",
                        f"at most {LARGEST_ROI_PX} px in ROIs of ImageJ",
                        "save geojson or a table instead",
                    )
                name = "-".join(
                    [f"{axis.lower()}{k + 1:04d}" for axis, k in position.items()]
                    + [f"{identity:05d}"]
                )
                if name in names:
                    n_before = sum(n.startswith(f"{name}-part") for n in names)
                    name = f"{name}-part{n_before + 2}"
                names.add(name)
                z, t = position.get("Z"), position.get("T")
                roi = ImagejRoi.frompoints(
                    outline.outer[:, ::-1],
                    name=name,
                    z=z,
                    t=t,
                    position=None if z is not None and t is not None else _page(z, t),
                )
                archive.writestr(f"{name}.roi", roi.tobytes())


def _page(z: int | None, t: int | None) -> int | None:
    return z if t is None else t


def write_geojson(
    path: Path, pieces: Iterable[Piece], class_names: Sequence[str] | None = None
) -> None:
    """Write polygons with holes as GeoJSON that QuPath imports; a feature an object and plane.

    With `class_names` the labels are classes, not instances.
    """
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        between = "\n"
        for identity, position, outlines in _outlines(pieces):
            properties: dict[str, Any] = {"objectType": "detection", "name": str(identity)}
            if class_names is not None:
                properties["classification"] = {"name": class_names[identity]}
            polygons = [_polygon(outline) for outline in outlines]
            geometry: dict[str, Any] = (
                {"type": "Polygon", "coordinates": polygons[0]}
                if len(polygons) == 1
                else {"type": "MultiPolygon", "coordinates": polygons}
            )
            if position:
                plane = {"c": -1, "z": position.get("Z", 0), "t": position.get("T", 0)}
                geometry["plane"] = plane
            feature = {"type": "Feature", "geometry": geometry, "properties": properties}
            file.write(between + json.dumps(feature))
            between = ",\n"
        file.write("\n]}\n")


def _polygon(outline: Outline) -> list[list[list[int]]]:
    rings = [outline.outer, *outline.holes]
    return [[*ring[:, ::-1].tolist(), ring[0, ::-1].tolist()] for ring in rings]


def write_table(
    path: Path,
    pieces: Iterable[Piece],
    spatial: str,
    pixel_size_um: tuple[float, ...] | None,
    channel_names: Sequence[str] | None = None,
) -> None:
    """Write measurements as CSV, one line an object, and as Parquet where pyarrow is installed.

    Lengths are in µm where the pixel size is known, else in px; the column names say which. Mean
    intensities are named after their channels where each has a name of its own, else numbered.
    """
    n_axes = len(spatial)
    if pixel_size_um is not None and len(pixel_size_um) < n_axes:
        pixel_size_um = None
    size = None if pixel_size_um is None else pixel_size_um[-n_axes:]
    written = 0
    with written_whole(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer: Any = None
            for piece in pieces:
                if writer is None:
                    writer = csv.writer(file, lineterminator="\n")
                    writer.writerow(_column_names(piece, spatial, size, channel_names))
                for row in _measured(piece, spatial, size, channel_names):
                    writer.writerow(f"{v:.9g}" if isinstance(v, float) else v for v in row.values())
                    written += 1
        if written and importlib.util.find_spec("pyarrow") is not None:
            from pyarrow import csv as arrow_csv
            from pyarrow import parquet

            # before the CSV has its name, which says that the table is done
            with written_whole(path.with_suffix(".parquet")) as columns:
                parquet.write_table(arrow_csv.read_csv(temporary), columns)


def _column_names(
    piece: Piece,
    spatial: str,
    pixel_size_um: tuple[float, ...] | None,
    channel_names: Sequence[str] | None,
) -> list[str]:
    """The columns of a table, also of one without objects: those of a made-up pixel."""
    pixel = np.ones((1,) * len(spatial), np.int32)
    grey = None if piece.grey is None else np.ones((len(piece.grey), *pixel.shape))
    example = Piece(pixel, (0,) * len(spatial), piece.position, None, grey)
    return list(next(_measured(example, spatial, pixel_size_um, channel_names)))


def _measured(
    piece: Piece,
    spatial: str,
    pixel_size_um: tuple[float, ...] | None,
    channel_names: Sequence[str] | None,
) -> Iterator[dict[str, Any]]:
    """The measurements of each object of a piece, by column."""
    from skimage.measure import regionprops

    axes = spatial.lower()
    flat = len(spatial) == 2
    unit = "px" if pixel_size_um is None else "um"
    size = pixel_size_um or (1.0,) * len(spatial)
    ids, labels = piece.numbered()
    grey = None if piece.grey is None else np.moveaxis(piece.grey, 0, -1)
    channels = () if piece.grey is None else _named_or_numbered(len(piece.grey), channel_names)
    for found in regionprops(labels, intensity_image=grey, spacing=size):
        row: dict[str, Any] = {axis.lower(): k for axis, k in piece.position.items()}
        row["label"] = int(ids[found.label - 1])
        for axis, where, first, step in zip(axes, found.centroid, piece.start, size, strict=True):
            row[f"centroid_{axis}_{unit}"] = float(where + first * step)
        row["size_px"] = int(found.num_pixels)
        row[f"{'area' if flat else 'volume'}_{unit}{len(spatial)}"] = float(found.area)
        row[f"equivalent_diameter_{unit}"] = float(found.equivalent_diameter_area)
        if flat:
            row[f"major_axis_{unit}"] = float(found.axis_major_length)
            row[f"minor_axis_{unit}"] = float(found.axis_minor_length)
            row["eccentricity"] = float(found.eccentricity)
            row["orientation_rad"] = float(found.orientation)
        if flat and size[0] == size[1]:
            row[f"perimeter_{unit}"] = float(found.perimeter)
        for axis, first, low, high in zip(
            axes, piece.start, found.bbox, found.bbox[len(spatial) :], strict=False
        ):
            row[f"box_{axis}_start_px"] = first + low
            row[f"box_{axis}_stop_px"] = first + high
        if grey is not None:
            means = np.atleast_1d(found.intensity_mean).tolist()
            for channel, mean in zip(channels, means, strict=True):
                row[f"mean_intensity_{channel}"] = float(mean)
        yield row


def _named_or_numbered(n_channels: int, names: Sequence[str] | None) -> Sequence[str]:
    """What tells the channels apart: their names, or numbers where one has none or another's."""
    named = [name.strip() for name in names or ()]
    apart = len(named) == len(set(named) - {""}) == n_channels
    return named if apart else [str(channel) for channel in range(n_channels)]


def _outlines(
    pieces: Iterable[Piece],
) -> Iterator[tuple[int, dict[str, int], list[Outline]]]:
    """Every object in every plane, with outlines (Y, X) in px of the image."""
    for piece in pieces:
        ids, labels = piece.numbered()
        slices = labels if labels.ndim == 3 else labels[None]
        for z, plane in enumerate(slices):
            position = dict(piece.position)
            if labels.ndim == 3:
                position["Z"] = z + piece.start[0]
            offset = np.array(piece.start[-2:])
            for number, box in enumerate(ndimage.find_objects(plane), start=1):
                if box is None:
                    continue
                corner = offset + [part.start for part in box]
                outlines = [
                    Outline(o.outer + corner, tuple(hole + corner for hole in o.holes))
                    for o in trace_outlines(plane[box] == number)
                ]
                yield int(ids[number - 1]), position, outlines
