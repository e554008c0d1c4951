"""The addresses of the studio; all lie behind the token (see guard.py)."""

import gzip
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from biounet.errors import InputError
from biounet.studio.annotation import (
    OutdatedError,
    apply_patches,
    current,
    set_rest,
)
from biounet.studio.contents import Studio
from biounet.studio.exports import labels_zip, newest_model, segmentation
from biounet.studio.folder import labels_path, list_names
from biounet.studio.guard import Guard
from biounet.studio.patches import LAST_ID, NOT_ANNOTATED, SentStrokes, decode_patches, parse
from biounet.studio.predictions import Sight, as_json
from biounet.studio.pyramid import TILE_PX, tile_of
from biounet.studio.regions import Box
from biounet.studio.trainer import losses_to_show

STATIC = Path(__file__).parent / "static"

PlaneNumber = Annotated[int, Field(strict=True, ge=0)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SentRest(_Sent):
    """Whether unpainted pixels of an image count as background."""

    name: str
    plane: PlaneNumber = 0
    version: int
    is_background: bool


class SentView(_Sent):
    """What the person looks at."""

    name: str
    plane: PlaneNumber = 0
    y: Annotated[int, Field(ge=-(2**20), le=2**20)]
    x: Annotated[int, Field(ge=-(2**20), le=2**20)]
    height: Annotated[int, Field(ge=1, le=2**20)]
    width: Annotated[int, Field(ge=1, le=2**20)]


class SentTraining(_Sent):
    """Train for so long, from the last weights unless afresh."""

    minutes: Annotated[float, Field(gt=0, le=24 * 60)]
    afresh: bool = False


class SentSegmentation(_Sent):
    """Segment a plane of an image, or all of them."""

    name: str
    plane: PlaneNumber | None = 0


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

    def segment(sent: SentSegmentation) -> dict[str, Any]:
        n_planes = len(studio.image(sent.name).pixels)
        planes = range(n_planes) if sent.plane is None else [_plane(studio, sent.name, sent.plane)]
        studio.trainer.segment(sent.name, planes)
        return {}

    def view(sent: SentView) -> dict[str, Any]:
        plane = _plane(studio, sent.name, sent.plane)
        box = Box(sent.y, sent.x, sent.height, sent.width)
        studio.trainer.view = Sight(sent.name, plane, box)
        return {}

    routes = [
        get("/", lambda _: FileResponse(STATIC / "index.html")),
        get("/api/state", lambda _: JSONResponse(_state(studio))),
        get("/api/image", lambda r: JSONResponse(_describe(studio, _name(r)))),
        get("/api/tile", lambda r: _tile(studio, r)),
        get("/api/labels", lambda r: _labels(studio, r)),
        get("/api/prediction", lambda r: _prediction(studio, r)),
        get("/export/labels.zip", lambda _: labels_zip(studio.folder)),
        get("/export/model.safetensors", lambda _: newest_model(studio)),
        get("/export/segmentation.tif", lambda r: segmentation(studio, _name(r))),
        Route("/api/events", events),
        json_post("/api/strokes", SentStrokes, lambda s: _strokes(studio, s)),
        json_post("/api/rest", SentRest, lambda s: _rest(studio, s)),
        json_post("/api/view", SentView, view),
        json_post("/api/train", SentTraining, train),
        json_post("/api/stop", _Sent, stop),
        json_post("/api/segment", SentSegmentation, segment),
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


def _plane(studio: Studio, name: str, plane: int) -> int:
    """The number of a plane that the image has."""
    n_planes = len(studio.image(name).pixels)
    if plane >= n_planes:
        raise InputError(f"plane {plane} of {name}", f"one of its {n_planes}", "reload the page")
    return plane


def _asked_plane(studio: Studio, request: Request) -> tuple[str, int]:
    """The image and the plane that a request names; without one, the first plane."""
    name = _name(request)
    asked = "plane" in request.query_params
    return name, _plane(studio, name, _number(request, "plane") if asked else 0)


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
    planes = studio.planes(name)  # whatever is wrong with the annotation is told now
    n_channels = image.pixels.shape[1]
    return {
        "name": name,
        "height": image.shape[0],
        "width": image.shape[1],
        "n_channels": n_channels,
        "channel_names": image.channel_names,
        "is_colour": n_channels == 3,
        "n_bits": 8 if image.pixels.dtype.itemsize == 1 else 16,
        "tile_px": TILE_PX,
        "n_levels": image.n_levels,
        "limit": image.limit,
        "offset": image.offset,
        "scale": image.scale,
        "contrast": image.contrast.tolist(),
        "histogram": image.histogram.tolist(),
        "not_annotated": NOT_ANNOTATED,
        "last_id": LAST_ID,
        "page_axes": image.page_axes,
        "page_sizes": image.page_sizes,
        "annotated_planes": [k for k, plane in enumerate(planes) if (plane != NOT_ANNOTATED).any()],
        "segmented_planes": sorted(studio.trainer.predictions.of(name)),
    }


def _tile(studio: Studio, request: Request) -> Response:
    channel = None if "channel" not in request.query_params else _number(request, "channel")
    place = [_number(request, key) for key in ("level", "row", "column")]
    name, plane = _asked_plane(studio, request)
    tile = tile_of(studio.image(name), place[0], place[1], place[2], channel, plane)
    little_endian = tile.astype(tile.dtype.newbyteorder("<"))
    return Response(little_endian.tobytes(), media_type="application/octet-stream")


def _labels(studio: Studio, request: Request) -> Response:
    """The labels of a plane, or nothing where the page knows this version."""
    name, plane = _asked_plane(studio, request)
    known = _number(request, "known") if "known" in request.query_params else None
    annotation = studio.annotation(name)
    with annotation.lock:
        current(annotation)
        version = annotation.versions[plane]
        raw = b"" if known == version else annotation.planes[plane].astype("<u2").tobytes()
        about = {
            "version": version,
            "rest_is_background": annotation.rest[plane],
            "last_id": annotation.last_id,
        }
    return _packed(raw, about)


def _prediction(studio: Studio, request: Request) -> Response:
    name, plane = _asked_plane(studio, request)
    prediction = studio.trainer.predictions.of(name).get(plane)
    if prediction is None:
        raise InputError(f"no segmentation of {name[:200]}", "one", "press Segment")
    return _packed(prediction.labels.astype("<u2").tobytes(), as_json(prediction))


def _packed(raw: bytes, about: dict[str, Any]) -> Response:
    headers = {"Content-Encoding": "gzip", "X-About": json.dumps(about)}
    return Response(gzip.compress(raw, 1), 200, headers, "application/octet-stream")


def _strokes(studio: Studio, sent: SentStrokes) -> dict[str, Any]:
    annotation = studio.annotation(sent.name)
    plane = _plane(studio, sent.name, sent.plane)
    if annotation.versions[plane] != sent.version:
        raise OutdatedError
    shape = (annotation.labels.shape[-2], annotation.labels.shape[-1])
    patches = decode_patches(sent.patches, shape, annotation.rest[plane])
    version = apply_patches(annotation, patches, sent.version, plane, sent.known_id)
    return _changed(studio, sent.name, plane, version)


def _rest(studio: Studio, sent: SentRest) -> dict[str, Any]:
    annotation = studio.annotation(sent.name)
    plane = _plane(studio, sent.name, sent.plane)
    version = set_rest(annotation, sent.is_background, sent.version, plane)
    return _changed(studio, sent.name, plane, version)


def _changed(studio: Studio, name: str, plane: int, version: int) -> dict[str, Any]:
    studio.events.publish("annotation", {"name": name, "plane": plane, "version": version})
    return {"version": version}
