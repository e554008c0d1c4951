"""What a person takes along from the studio: annotations, the model, a segmentation."""

import io
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
from starlette.responses import FileResponse, Response

from biounet.errors import InputError
from biounet.images.layouts.label_notes import FILE_NAME
from biounet.images.reading import image_stem
from biounet.images.writing import write_image
from biounet.studio.contents import Studio
from biounet.studio.folder import ImageFolder, labels_path, list_names


def labels_zip(folder: ImageFolder) -> Response:
    """All annotations.

    Raises:
        InputError: nothing is painted yet.
    """
    paths = [labels_path(folder, name) for name in list_names(folder)]
    paths = [path for path in paths if path.exists()]
    if not paths:
        raise InputError("no annotation yet", "painted images", "paint some first")
    notes = folder.labels / FILE_NAME  # labels that another program wrote may have none
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for path in [*paths, *([notes] if notes.exists() else [])]:
            archive.write(path, f"labels/{path.name}")
    return _download(packed.getvalue(), "labels.zip", "application/zip")


def newest_model(studio: Studio) -> Response:
    """The model that was trained last, or that there was before.

    Raises:
        InputError: there is none yet.
    """
    known = studio.trainer.newest
    if known is None:
        raise InputError("no model yet", "a trained network", "press Train first")
    name = f"{studio.folder.root.name or 'model'}-{known.name.removesuffix('.safetensors')}"
    return FileResponse(known.path, filename=f"{name}.safetensors")


def segmentation(studio: Studio, name: str) -> Response:
    """The labels that the network gave an image, all its planes in one TIFF.

    Raises:
        InputError: not all planes are segmented.
    """
    image = studio.image(name)
    of_planes = studio.trainer.predictions.of(name)
    planes = [of_planes[k].labels for k in range(len(image.pixels)) if k in of_planes]
    if len(planes) < len(image.pixels) or any(labels.shape != image.shape for labels in planes):
        button = "Segment" if len(image.pixels) == 1 else "All planes"
        raise InputError(f"no segmentation of all of {name}", "one", f"press {button} first")
    labels = np.stack(planes).reshape(*image.page_sizes, *image.shape)
    file_name = f"{image_stem(Path(name))}_labels.tif"
    with tempfile.TemporaryDirectory(prefix="biounet-") as folder:
        path = Path(folder) / file_name
        axes = image.page_axes + "YX"
        write_image(path, labels, axes, image.pixel_size_um, compression="zlib")
        return _download(path.read_bytes(), file_name, "image/tiff")


def _download(content: bytes, name: str, kind: str) -> Response:
    disposition = f"attachment; filename*=utf-8''{quote(name)}"
    return Response(content, 200, {"Content-Disposition": disposition}, kind)
