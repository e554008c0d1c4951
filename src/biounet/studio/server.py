"""The addresses of the studio; all lie behind the token (see guard.py)."""

import gzip
import io
import json
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Annotated, Any
from urllib.parse import quote

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from biounet.errors import InputError
from biounet.images.dataset import Source, read_raw_labels
from biounet.images.reading import image_stem
from biounet.images.writing import write_image
from biounet.studio.annotation import (
    Annotation,
    OutdatedError,
    apply_patches,
    current,
    is_trainable,
    open_annotation,
    set_rest,
)
from biounet.studio.events import Events
from biounet.studio.folder import ImageFolder, image_path, labels_path, list_names
from biounet.studio.guard import Guard
from biounet.studio.patches import LAST_ID, NOT_ANNOTATED, SentStrokes, decode_patches, parse
from biounet.studio.pyramid import TILE_PX, Pyramid, open_pyramid, tile_of
from biounet.studio.regions import Box
from biounet.studio.trainer import Marked, Trainer, as_json, losses_to_show, newest_run

STATIC = Path(__file__).parent / "static"

N_OPEN_IMAGES = 3


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SentRest(_Sent):
    """Whether unpainted pixels of an image count as background."""

    name: str
    version: int
    is_background: bool


class SentView(_Sent):
    """What the person looks at."""

    name: str
    y: Annotated[int, Field(ge=-(2**20), le=2**20)]
    x: Annotated[int, Field(ge=-(2**20), le=2**20)]
    height: Annotated[int, Field(ge=1, le=2**20)]
    width: Annotated[int, Field(ge=1, le=2**20)]


class SentTraining(_Sent):
    """Train for so long, from the last weights unless afresh."""

    minutes: Annotated[float, Field(gt=0, le=24 * 60)]
    afresh: bool = False


class SentName(_Sent):
    """An image."""

    name: str


class Studio:
    """The open images, annotations and the trainer of one folder."""

    def __init__(self, folder: ImageFolder) -> None:
        self.folder = folder
        self.events = Events()
        self._pyramids: OrderedDict[str, Pyramid] = OrderedDict()
        self._annotations: dict[str, Annotation] = {}
        self._opening = Lock()
        self.trainer = Trainer(folder, self.events, self.image)

    def image(self, name: str) -> Pyramid:
        """An image, read once and kept while it is among the last used."""
        path = image_path(self.folder, name)
        with self._opening:
            if name not in self._pyramids:
                self._pyramids[name] = open_pyramid(path)
            self._pyramids.move_to_end(name)
            while len(self._pyramids) > N_OPEN_IMAGES:
                self._pyramids.popitem(last=False)
            return self._pyramids[name]

    def annotation(self, name: str) -> Annotation:
        """The annotation of an image, read once."""
        if name in self._annotations:
            return self._annotations[name]
        image = self.image(name)
        with self._opening:
            if name not in self._annotations:
                self._annotations[name] = open_annotation(
                    self.folder, name, image.shape, image.pixel_size_um
                )
            return self._annotations[name]

    def _labels(self, name: str, path: Path) -> NDArray[Any]:
        """The labels of an image that need not be open."""
        if name in self._annotations:
            return self._annotations[name].labels
        return read_raw_labels(Source(path.name, path), "YX", NOT_ANNOTATED)

    def marked(self) -> Marked:
        """The annotated images.

        Raises:
            InputError: nothing that a network can learn from.
        """
        images, labels, cells, background = [], [], False, False
        for name in list_names(self.folder):
            path = labels_path(self.folder, name)
            if not path.exists():
                continue
            has_cell, has_background = is_trainable(self._labels(name, path))
            if has_cell or has_background:
                images.append(image_path(self.folder, name))
                labels.append(path)
            cells, background = cells or has_cell, background or has_background
        if not cells:
            raise InputError("no painted cell", "a few cells", "paint some first")
        if not background:
            raise InputError(
                "cells but no background",
                "some of both",
                "paint background (G) or switch on 'rest is background'",
            )
        return Marked(tuple(images), tuple(labels))


def make_app(studio: Studio, token: str, port: int) -> Starlette:
    """The web application."""

    def json_post(path: str, kind: type[BaseModel], act: Callable[[Any], dict[str, Any]]) -> Route:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            return await answered(lambda: JSONResponse(act(parse(kind, body))))

        return Route(path, endpoint, methods=["POST"])

    def get(path: str, act: Callable[[Request], Response]) -> Route:
        async def endpoint(request: Request) -> Response:
            return await answered(lambda: act(request))

        return Route(path, endpoint)

    async def events(_: Request) -> Response:
        return StreamingResponse(studio.events.stream(), media_type="text/event-stream")

    def train(sent: SentTraining) -> dict[str, Any]:
        studio.trainer.train(studio.marked, sent.minutes, sent.afresh)
        return {}

    def stop(_: _Sent) -> dict[str, Any]:
        studio.trainer.stop()
        return {}

    def segment(sent: SentName) -> dict[str, Any]:
        image_path(studio.folder, sent.name)
        studio.trainer.segment(sent.name)
        return {}

    def view(sent: SentView) -> dict[str, Any]:
        image_path(studio.folder, sent.name)
        studio.trainer.view = (sent.name, Box(sent.y, sent.x, sent.height, sent.width))
        return {}

    routes = [
        get("/", lambda _: FileResponse(STATIC / "index.html")),
        get("/api/state", lambda _: JSONResponse(_state(studio))),
        get("/api/image", lambda r: JSONResponse(_describe(studio, _name(r)))),
        get("/api/tile", lambda r: _tile(studio, r)),
        get("/api/labels", lambda r: _labels(studio, _name(r))),
        get("/api/prediction", lambda r: _prediction(studio, _name(r))),
        get("/export/labels.zip", lambda _: _labels_zip(studio.folder)),
        get("/export/model.safetensors", lambda _: _model(studio.folder)),
        get("/export/segmentation.tif", lambda r: _segmentation(studio, _name(r))),
        Route("/api/events", events),
        json_post("/api/strokes", SentStrokes, lambda s: _strokes(studio, s)),
        json_post("/api/rest", SentRest, lambda s: _rest(studio, s)),
        json_post("/api/view", SentView, view),
        json_post("/api/train", SentTraining, train),
        json_post("/api/stop", _Sent, stop),
        json_post("/api/segment", SentName, segment),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        middleware=[Middleware(Guard, token=token, port=port)],
    )


async def answered(act: Callable[[], Response]) -> Response:
    """Act in another thread; a mistake is told as JSON: 422, or 409 for an outdated version."""
    try:
        return await run_in_threadpool(act)
    except InputError as error:
        told = {"found": error.found, "wanted": error.wanted, "remedy": error.remedy}
        return JSONResponse(told, 422)
    except OutdatedError:
        told = {
            "found": "an annotation that was changed elsewhere meanwhile",
            "wanted": "changes of its newest version",
            "remedy": "it is loaded again",
        }
        return JSONResponse(told, 409)


def _name(request: Request) -> str:
    return request.query_params.get("name", "")


def _number(request: Request, key: str) -> int:
    text = request.query_params.get(key, "")
    if not text.isdecimal() or len(text) > 6:
        raise InputError(f"{key} = {text[:20]!r}", "a whole number", "reload the page")
    return int(text)


def _state(studio: Studio) -> dict[str, Any]:
    images = []
    for name in list_names(studio.folder):
        try:
            images.append({"name": name, "annotated": labels_path(studio.folder, name).exists()})
        except InputError as error:
            images.append({"name": name, "annotated": False, "problem": str(error)})
    return {
        "folder": str(studio.folder.root),
        "images": images,
        "status": asdict(studio.trainer.status),
        "losses": losses_to_show(studio.trainer.losses),
    }


def _describe(studio: Studio, name: str) -> dict[str, Any]:
    image = studio.image(name)
    studio.annotation(name)  # whatever is wrong with it is told now
    n_channels = len(image.pixels)
    prediction = studio.trainer.predictions.get(name)
    return {
        "name": name,
        "height": image.shape[0],
        "width": image.shape[1],
        "n_channels": n_channels,
        "channel_names": image.channel_names,
        "is_colour": n_channels == 3,
        "n_bits": 8 * image.levels[0].dtype.itemsize,
        "tile_px": TILE_PX,
        "n_levels": len(image.levels),
        "limit": image.limit,
        "offset": image.offset,
        "scale": image.scale,
        "contrast": image.contrast.tolist(),
        "histogram": image.histogram.tolist(),
        "not_annotated": NOT_ANNOTATED,
        "last_id": LAST_ID,
        "prediction": None if prediction is None else prediction.number,
    }


def _tile(studio: Studio, request: Request) -> Response:
    channel = None if "channel" not in request.query_params else _number(request, "channel")
    place = [_number(request, key) for key in ("level", "row", "column")]
    tile = tile_of(studio.image(_name(request)), place[0], place[1], place[2], channel)
    little_endian = tile.astype(tile.dtype.newbyteorder("<"))
    return Response(little_endian.tobytes(), media_type="application/octet-stream")


def _labels(studio: Studio, name: str) -> Response:
    annotation = studio.annotation(name)
    with annotation.lock:
        current(annotation)
        raw = annotation.labels.astype("<u2").tobytes()
        about = {"version": annotation.version, "rest_is_background": annotation.rest_is_background}
    return _packed(raw, about)


def _prediction(studio: Studio, name: str) -> Response:
    prediction = studio.trainer.predictions.get(name)
    if prediction is None:
        raise InputError(f"no segmentation of {name[:200]}", "one", "press Segment")
    return _packed(prediction.labels.astype("<u2").tobytes(), as_json(prediction))


def _packed(raw: bytes, about: dict[str, Any]) -> Response:
    headers = {"Content-Encoding": "gzip", "X-About": json.dumps(about)}
    return Response(gzip.compress(raw, 1), 200, headers, "application/octet-stream")


def _strokes(studio: Studio, sent: SentStrokes) -> dict[str, Any]:
    annotation = studio.annotation(sent.name)
    if annotation.version != sent.version:
        raise OutdatedError
    patches = decode_patches(
        sent.patches,
        (annotation.labels.shape[0], annotation.labels.shape[1]),
        annotation.rest_is_background,
    )
    return _changed(studio, sent.name, apply_patches(annotation, patches, sent.version))


def _rest(studio: Studio, sent: SentRest) -> dict[str, Any]:
    annotation = studio.annotation(sent.name)
    return _changed(studio, sent.name, set_rest(annotation, sent.is_background, sent.version))


def _changed(studio: Studio, name: str, version: int) -> dict[str, Any]:
    studio.events.publish("annotation", {"name": name, "version": version})
    return {"version": version}


def _labels_zip(folder: ImageFolder) -> Response:
    paths = [labels_path(folder, name) for name in list_names(folder)]
    paths = [path for path in paths if path.exists()]
    if not paths:
        raise InputError("no annotation yet", "painted images", "paint some first")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for path in [*paths, folder.labels / "biounet.json"]:
            archive.write(path, f"labels/{path.name}")
    return _download(packed.getvalue(), "labels.zip", "application/zip")


def _model(folder: ImageFolder) -> Response:
    run = newest_run(folder)
    if run is None:
        raise InputError("no model yet", "a trained network", "press Train first")
    return FileResponse(
        run.last, filename=f"{folder.root.name or 'model'}-{run.path.name}.safetensors"
    )


def _segmentation(studio: Studio, name: str) -> Response:
    image = studio.image(name)
    prediction = studio.trainer.predictions.get(name)
    if prediction is None or prediction.labels.shape != image.shape:
        raise InputError(f"no segmentation of all of {name}", "one", "press Segment first")
    file_name = f"{image_stem(Path(name))}_labels.tif"
    with tempfile.TemporaryDirectory(prefix="biounet-") as folder:
        path = Path(folder) / file_name
        write_image(path, prediction.labels, "YX", image.pixel_size_um, compression="zlib")
        return _download(path.read_bytes(), file_name, "image/tiff")


def _download(content: bytes, name: str, kind: str) -> Response:
    disposition = f"attachment; filename*=utf-8''{quote(name)}"
    return Response(content, 200, {"Content-Disposition": disposition}, kind)
