"""The settings: frozen, validated, and the one home of every default. YAML in and out.

`None` stands for "derive it" from the data and the machine (see `learning/derive.py`); a run
folder's `settings.yaml` and a model file hold the values that were used.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from biounet.errors import InputError
from biounet.network_settings import (
    Fraction,
    Frozen,
    NetworkSettings,
    NonNegative,
    Positive,
    UNetSettings,
)


class IntensitySettings(Frozen):
    """How grey values become network input: (value - offset) / scale, from whole images."""

    source: Literal["image", "training-set"] = "image"
    """Statistics of each image, or those of the training set (kept in the model file)."""
    method: Literal["mean-std", "percentiles"] = "mean-std"
    """Offset and scale: mean and standard deviation; or the median and the range 1 % to 99.8 %."""


class WeightSettings(Frozen):
    """The weighted loss, eqs. (1) and (2)."""

    border_weight: NonNegative = 10.0
    """w0; the authors' later Fiji plugin uses 50 with 6 px. Never mix the two."""
    border_sigma_px: Annotated[float, Field(gt=0)] = 5.0
    border_width_px: Positive = 1
    """How far from another cell a pixel of a cell becomes separating background."""
    class_balance: Literal["training-set", "image", "none"] = "training-set"
    dice: NonNegative = 0.0
    """Weight of the soft Dice loss beside eq. (1), as in nnU-Net's sum of both; 0: without."""


class AffinitySettings(Frozen):
    """Whether two pixels are of one object, learned beside the classes (`learning/affinities.py`).

    By U-Nets alone. The model that comes out is the same with or without.
    """

    distances: tuple[Positive, ...] = ()
    """Between the two, in blocks of `network.first_stride`; none: pairs are not learned."""
    weight: NonNegative = 1.0
    """Of their loss, against that of the classes."""


class AugmentationSettings(Frozen):
    """Random changes of each training sample (section 3.1 of the paper)."""

    mirror: bool = True
    rotation: Literal["none", "right-angles", "any"] = "any"
    """In 3-D about the Z axis."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest relative change of size to either side."""
    elastic_std_px: NonNegative = 10.0
    elastic_grid: Annotated[int, Field(ge=2)] = 3
    brightness: NonNegative = 0.1
    """Standard deviation of an added grey value, in units of the image's own."""
    contrast: NonNegative = 0.1
    """Standard deviation of the logarithm of a factor on grey values."""
    gamma: NonNegative = 0.0
    """Standard deviation of the logarithm of an exponent on grey values."""
    noise: NonNegative = 0.0
    """Largest standard deviation of added Gaussian noise."""


class TrainingSettings(Frozen):
    """Budget, optimiser, sampling, validation."""

    steps: Positive | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Wall time of the whole command. One of steps and minutes; neither: `default_minutes`."""
    default_minutes: Annotated[float, Field(gt=0)] = 10.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    patch_px: Positive = 388
    """Side of the output patch."""
    batch: Positive = 1
    """Patches a step and process."""
    processes: Positive = 1
    """Of `torchrun`, when the run began. A step takes batch x processes patches, however many
    processes share them later."""
    optimiser: Literal["sgd", "adamw"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD; AdamW's first beta."""
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    """Steps over which the learning rate rises; fewer in short runs."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of the exponential average of the weights; 0: none."""
    gradient_norm: NonNegative = 0.0
    """Gradients are scaled down to this norm; 0: never."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    balanced_sampling: bool = False
    """Patches are centred on a pixel of every class equally often; else anywhere annotated."""
    validation_fraction: Fraction = 0.15
    validation_most: Positive = 16
    """Images held out at most: more would take more time to score than they tell."""
    validations: Annotated[int, Field(ge=0)] = 8
    """How often the validation images are scored during the run."""
    checkpoint_s: NonNegative = 20.0
    """Least time between two checkpoints; they are also at least 4 % of the run apart."""

    @property
    def patches_per_step(self) -> int:
        """Of all processes together."""
        return self.batch * self.processes


class ObjectSettings(Frozen):
    """From probabilities to labels (`prediction/instances.py`)."""

    method: Literal["components", "agglomeration", "classes"] = "components"
    threshold: Fraction = 0.5
    """Of P(foreground): connected pixels above it are the cores of objects."""
    merge_threshold: Fraction = 0.6
    """Agglomeration only: regions are one where the mean P(background) between them is below it."""
    grow_px: Annotated[int, Field(ge=0)] = 0
    """Cores grow by this many layers of pixels: gives back the cut separation border, and what a
    high threshold took off the rims."""
    grow_threshold: Fraction = 0.0
    """They grow only into pixels of at least this P(foreground)."""
    fill_holes: bool = True
    """Of the cores."""
    minimum_size_px: Annotated[int, Field(ge=0)] = 0
    """Smaller cores are removed."""
    join_slices: Fraction = 0.0
    """2-D networks on stacks: objects of successive slices with at least this IoU are one; 0: each
    slice stands alone."""


Save = Literal["labels", "probabilities", "rois", "geojson", "table", "ctc", "isbi2012"]
"""What can be written of each input.

labels, probabilities: images. rois: ImageJ's, a zip. geojson: QuPath's. table: one line an object.
ctc: a result folder of the Cell Tracking Challenge, frames linked. isbi2012: a submission stack.
"""


class PredictionSettings(Frozen):
    """What is asked of a prediction on files.

    `auto` and None are chosen once, written to the output, and reused.
    """

    save: tuple[Save, ...] = ("labels",)
    objects: dict[str, Any] = Field(default_factory=dict)
    """Names and values of `ObjectSettings`, in place of the model's."""
    tile: int | None = None
    """Side of the input tile in px."""
    average: str = "none"
    """`none`, `d4` or `rotations:N`."""
    scale: tuple[float, ...] = (1.0,)
    """How many times larger the network sees images; one factor, or one for each axis."""
    engine: str = "auto"
    """`auto`, `torch`, `openvino` or `onnx`."""
    precision: str = "auto"
    """`auto`, `float32`, `bfloat16` or `float16`."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`."""
    axes: str | None = None
    """Names of the inputs' axes, in place of what the files say."""
    workers: int = 1
    """Processes on this machine; the threads are divided among them."""
    scheduler: str | None = None
    """Address of a Dask scheduler, in place of `workers`."""
    memory_bytes: int = 2**28
    """Images that need more than this are predicted block by block."""
    block_px: int | None = None
    """About how long these blocks are; None: as long as makes a good chunk."""


PREDICTION = PredictionSettings()


class Settings(Frozen):
    """Everything that decides a training run and what its model does."""

    preset: Literal["fast", "paper"] = "fast"
    network: NetworkSettings = UNetSettings()
    intensity: IntensitySettings = IntensitySettings()
    weights: WeightSettings = WeightSettings()
    affinities: AffinitySettings = AffinitySettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    training: TrainingSettings = TrainingSettings()
    objects: ObjectSettings = ObjectSettings()


PAPER = Settings(
    preset="paper",
    training=TrainingSettings(
        patch_px=388,
        batch=1,
        optimiser="sgd",
        learning_rate=1e-3,
        momentum=0.99,
        schedule="constant",
        warmup_steps=0,
    ),
)
"""The 2015 paper: 31 million weights, one large tile a step, momentum 0.99, no normalisation."""

FAST = Settings(
    preset="fast",
    network=UNetSettings(width=32, normalisation="weight-standardisation", dropout=0.0),
    affinities=AffinitySettings(distances=(3, 8, 20)),
    augmentation=AugmentationSettings(scale=0.5, contrast=0.25, gamma=0.2, noise=0.2),
    training=TrainingSettings(average_decay=0.995, gradient_norm=1.0),
)
"""What reaches a given validation score in the fewest CPU minutes."""


class DemoSettings(Frozen):
    """The demonstration (`biounet demo`)."""

    kind: Literal["touching-cells"] = "touching-cells"
    side_px: Positive = 256
    n_training: Positive = 12
    n_test: Positive = 6
    minutes: float = 2.5
    real_minutes: float = 10.0
    """On a real set (`--real`)."""
    seed: int = 0


DEMO = DemoSettings()

RECIPES: dict[str, dict[str, Any]] = {
    "unet": {},
    "fcn": {"weights": {"border_weight": 0.0}, "affinities": {"distances": ()}},
    "sliding-window": {
        "weights": {"border_weight": 0.0, "class_balance": "training-set"},
        "affinities": {"distances": ()},
        "augmentation": {
            "rotation": "right-angles",
            "scale": 0.0,
            "elastic_std_px": 0.0,
            "brightness": 0.0,
            "contrast": 0.0,
            "gamma": 0.0,
            "noise": 0.0,
        },
        "training": {
            "balanced_sampling": True,
            "patch_px": 1,
            "batch": 64,
            "learning_rate": 1e-3,
        },
    },
}
"""What the rivals' papers change in the preset: the sliding window learns balanced classes,
mirrored and turned by right angles; neither weighs borders nor learns pairs of pixels."""

PRESETS: dict[str, Settings] = {"fast": FAST, "paper": PAPER}


def read_settings(path: Path) -> Settings:
    """Read settings from YAML; what the file leaves out comes from its preset.

    Raises:
        InputError: where the file is no YAML, or a name or value is wrong.
    """
    tree = read_tree(path)
    return validated_settings(merged(preset_named(tree.get("preset", "fast")).model_dump(), tree))


def read_tree(path: Path) -> dict[str, Any]:
    """The names and values of a YAML file of settings, as they stand there."""
    try:
        tree = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"{path}: {' '.join(str(error).split())}", "a YAML file of settings", "mend it"
        ) from None
    if not isinstance(tree, dict):
        raise InputError(f"{path} with no names in it", "settings as 'name: value'", "mend it")
    return tree


def preset_named(name: str) -> Settings:
    """The preset of a name."""
    if name not in PRESETS:
        raise InputError(f"preset {name!r}", f"one of {', '.join(PRESETS)}", "choose one")
    return PRESETS[name]


def write_settings(settings: Settings, path: Path) -> None:
    """Write settings as YAML, every value included."""
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    temporary.replace(path)


def validated_settings(tree: object) -> Settings:
    """Settings from a tree of plain values; a wrong name or value is told in one line."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise _mistake(error.errors()[0]) from None


def check_each(tree: object) -> None:
    """Tell a wrong name or type; whether all settings fit together is seen when all are known."""
    try:
        Settings.model_validate(tree)
    except ValidationError as error:
        for one in error.errors():
            if one["type"] != "value_error":
                raise _mistake(one) from None


def _mistake(error: ErrorDetails) -> InputError:
    kinds = [kind for kind in error["loc"][1:2] if error["loc"][0] == "network"]
    name = ".".join(str(part) for part in error["loc"] if part not in kinds) or "settings"
    found = f"{name} = {error['input']!r}"
    if error["type"] == "extra_forbidden":
        remedy = "look up the names in the settings.yaml of a run"
        return InputError(found, "a setting that exists", remedy)
    wanted = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return InputError(found, wanted, "change it")


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A copy of `base` in which the values named in `change` are replaced, level by level.

    Settings of another `kind` replace those of `base` as a whole.
    """
    result = dict(base)
    for name, value in change.items():
        below = result.get(name)
        if (
            isinstance(below, dict)
            and isinstance(value, dict)
            and value.get("kind", below.get("kind")) == below.get("kind")
        ):
            result[name] = merged(below, value)
        else:
            result[name] = value
    return result
