"""Everything that decides the numbers of a prediction, kept beside its results.

The first prediction into a folder writes `prediction.json`; every later one there uses the same
choices, or is refused. So a job that was interrupted goes on exactly as it began, on any number
of workers, and results of two models are never mixed.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import secrets
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from biounet.config import ObjectSettings, PredictionSettings
from biounet.errors import InputError
from biounet.geometry import Shape
from biounet.images.atomic import cannot_write
from biounet.model import at_scale, read_model, with_objects
from biounet.prediction.engines import choose_device
from biounet.prediction.jobs.sharing import (
    LARGEST_BATCH,
    in_one_thread,
    same_bits_in_a_batch,
)
from biounet.prediction.predictor import Ahead, Predictor, make_predictor
from biounet.prediction.rescaling import scale_per_axis
from biounet.prediction.tile_choice import tile_bytes

RECIPE_NAME = "prediction.json"

BATCH_BYTES = 2**31
"""Memory of a GPU that a batch of tiles may take."""

CPU_BATCH = 4
"""Tiles that OpenVINO computes at once in bfloat16 where the deepest maps are small: 10 to 30 %
less work for images of 64 to 256 px and networks of depth 4. With PyTorch it is more work as often
as less; in float32 it is the same."""

SMALL_MAP_PX = 32
"""Side of the deepest maps below which they keep no processor busy."""

VERSION = importlib.metadata.version("biounet")


@dataclass(frozen=True)
class Recipe:
    """The choices behind a folder of results.

    Attributes:
        version: of biounet.
        model: SHA-256 of the model file.
        engine, precision, device: as resolved, never `auto`.
        tile: the largest input tile, in px.
        average: `none`, `d4` or `rotations:N`.
        scale: along each axis, how many times larger the network sees an image.
        objects: how labels are made: as the model says, changed as was asked.
        threads: of each worker.
        axes: the names of axes that were given, or None.
    """

    version: str
    model: str
    engine: str
    precision: str
    device: str
    tile: Shape
    average: str
    scale: tuple[float, ...]
    objects: ObjectSettings
    threads: int
    axes: str | None


def settle_recipe(
    model_path: Path,
    out: Path,
    options: PredictionSettings,
    threads: int,
    ahead: Ahead | None = None,
) -> Recipe:
    """The recipe of an output folder: the one it has, or a new one, written there.

    Args:
        threads: of each worker, where they are not settled yet.
        ahead: what is going to be predicted, for the choices that depend on it.

    Raises:
        InputError: the folder's recipe is of another model, version or settings, or the folder
            cannot be written.
    """
    found = read_recipe(out)
    wanted = _choose(model_path, options, found, threads, ahead)
    if found is None:
        return _write_once(wanted, out)
    there = _by_name(found)
    for name, asked in _by_name(wanted).items():
        if there[name] != asked:
            raise InputError(
                f"results with {name} {_shown(there[name])} in {out}",
                f"{_shown(asked)}, as asked now: results are never mixed",
                "choose another --out, or ask for what is there",
            )
    return found


def _by_name(recipe: Recipe) -> dict[str, object]:
    """Each choice, those about labels one by one."""
    choices = asdict(recipe)
    choices["scale"] = " x ".join(f"{s:g}" for s in recipe.scale)
    objects = choices.pop("objects").model_dump()
    return choices | {f"objects.{name}": value for name, value in objects.items()}


def read_recipe(out: Path) -> Recipe | None:
    """The recipe of an output folder; None where nothing was predicted yet."""
    path = out / RECIPE_NAME
    try:
        tree = json.loads(path.read_text())
        tree["tile"], tree["scale"] = tuple(tree["tile"]), tuple(tree["scale"])
        tree["objects"] = ObjectSettings.model_validate(tree["objects"])
        return Recipe(**tree)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}, which cannot be read ({' '.join(str(error).split())})",
            "the settings of the results beside it",
            "choose another --out",
        ) from None


def discard_recipe(out: Path) -> None:
    """Remove a recipe, and its folder, where there is nothing else: nothing could be done."""
    with contextlib.suppress(OSError):
        if [path.name for path in out.iterdir()] == [RECIPE_NAME]:
            (out / RECIPE_NAME).unlink()
            out.rmdir()


MOST_READY = 4
"""Predictors that a process keeps, those used last: each holds a network and a thread."""

_ready: dict[tuple[Path, Recipe], Predictor] = {}
_lock = threading.Lock()


def ready_predictor(model_path: Path, recipe: Recipe) -> Predictor:
    """The predictor of a recipe, made once and kept; any thread may call its engine.

    Raises:
        InputError: the model, the version of biounet or the engines are others here.
    """
    with _lock:
        predictor = _ready.pop((model_path, recipe), None) or _make(model_path, recipe)
        _ready[model_path, recipe] = predictor  # the last one used stands last
        while len(_ready) > MOST_READY:
            del _ready[next(iter(_ready))]
        return predictor


def _make(model_path: Path, recipe: Recipe) -> Predictor:
    if recipe.version != VERSION:
        raise InputError(
            f"biounet {VERSION} in a worker",
            f"{recipe.version}, as where the job began",
            "install the same version everywhere",
        )
    if sha256_of(model_path) != recipe.model:
        raise InputError(
            f"another model at {model_path} than when the job began",
            "the same file everywhere",
            "put it back",
        )
    torch.set_num_threads(recipe.threads)
    model = with_objects(read_model(model_path), recipe.objects.model_dump())
    made = make_predictor(
        model,
        recipe.device,
        recipe.precision,
        None,
        recipe.average,
        recipe.engine,
        scale=recipe.scale,
    )
    if (made.engine_name, made.precision) != (recipe.engine, recipe.precision):
        raise InputError(
            f"a machine that computes with {made.engine_name} in {made.precision}",
            f"{recipe.engine} in {recipe.precision}, as where the job began",
            "install the same engines everywhere, or ask for --engine torch from the start",
        )
    return _shared(made, recipe)


def _shared(made: Predictor, recipe: Recipe) -> Predictor:
    network = made.model.settings.network

    @functools.cache
    def may_batch(shape: Shape) -> bool:
        deepest = max(n // step for n, step in zip(shape, network.footprint.step, strict=True))
        return (
            (recipe.engine, recipe.precision) == ("openvino", "bfloat16")
            and deepest < SMALL_MAP_PX
            and same_bits_in_a_batch(made.engine, CPU_BATCH, (network.channels, *shape))
        )

    def size_of(shape: Shape, n_waiting: int) -> int:
        if recipe.device != "cpu":
            return min(max(BATCH_BYTES // tile_bytes(network, shape), 1), LARGEST_BATCH)
        return CPU_BATCH if n_waiting >= CPU_BATCH and may_batch(shape) else 1

    engine = in_one_thread(made.engine, recipe.threads, size_of)
    return replace(
        made,
        input_shape=recipe.tile,
        engine=engine,
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise InputError(f"no file {path}", "a model file", "check the path") from None


def _choose(
    model_path: Path,
    options: PredictionSettings,
    found: Recipe | None,
    threads: int,
    ahead: Ahead | None,
) -> Recipe:
    """What is asked; what is left open is as found, or else chosen for this machine."""
    sha256 = sha256_of(model_path)
    trained = read_model(model_path)
    scale = scale_per_axis(options.scale, trained.settings.network.dimensions)
    model = with_objects(at_scale(trained, scale), options.objects)
    if found is None:
        torch.set_num_threads(threads)
        made = make_predictor(
            model,
            options.device,
            options.precision,
            options.tile,
            options.average,
            options.engine,
            ahead,
            scale,
        )
        device = _device_named(options.device) if made.engine_name == "torch" else "cpu"
        recipe = Recipe(
            version=VERSION,
            model=sha256,
            engine=made.engine_name,
            precision=made.precision,
            device=device,
            tile=made.input_shape,
            average=options.average,
            scale=scale,
            objects=model.settings.objects,
            threads=threads,
            axes=options.axes,
        )
        with _lock:
            _ready.setdefault((model_path, recipe), _shared(made, recipe))
        return recipe
    tile = found.tile
    if options.tile is not None:
        network = model.settings.network
        tile = network.footprint.round_down((options.tile,) * network.dimensions)
    return replace(
        found,
        version=VERSION,
        model=sha256,
        engine=found.engine if options.engine == "auto" else options.engine,
        precision=found.precision if options.precision == "auto" else options.precision,
        device=found.device if options.device == "auto" else _device_named(options.device),
        tile=tile,
        average=options.average,
        scale=scale,
        objects=model.settings.objects,
        axes=options.axes,
    )


def _device_named(wanted: str) -> str:
    """A device as recipes name it: a GPU with the number that was given, a processor without."""
    device = choose_device(wanted)
    return "cpu" if device.type == "cpu" else str(device)


def _write_once(recipe: Recipe, out: Path) -> Recipe:
    """Write the recipe, unless another process was faster; then it must be the same."""
    path = out / RECIPE_NAME
    text = json.dumps(asdict(recipe), default=ObjectSettings.model_dump, indent=1) + "\n"
    temporary = out / f".tmp-{secrets.token_hex(4)}-{RECIPE_NAME}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text)
            os.link(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except FileExistsError:
        if (there := read_recipe(out)) is not None and there == recipe:
            return there
        raise InputError(
            f"results of another command, begun just now, in {out}",
            "a folder for these results alone",
            "choose another --out",
        ) from None
    except OSError as error:
        raise cannot_write(path, error) from error
    return recipe


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value)) + " px"
    text = str(value)
    return text[:12] + "…" if len(text) == 64 else text
