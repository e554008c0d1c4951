"""What data, a model or a run is, in one screen (`biounet inspect`)."""

from collections.abc import Sequence
from pathlib import Path

from biounet.api import find_model
from biounet.config import Settings
from biounet.images.dataset import DataSet, read_item
from biounet.images.image import Header
from biounet.images.layouts.find import find_dataset
from biounet.images.layouts.folders import named_alike
from biounet.images.reading import is_image, read_header
from biounet.learning.derive import derive_settings, look_at, this_machine
from biounet.learning.run_folder import RunFolder, read_records
from biounet.model import ModelFile, network_of
from biounet.network_settings import EnsembleSettings
from biounet.prediction.engines import choose_device, choose_precision
from biounet.shipped import SHIPPED, find_model_file, shipped_networks


def describe(what: Sequence[Path]) -> str:
    """Describe a model file, a run folder, a network by name, annotated data, or an image.

    Nothing to describe: the networks that come with biounet.

    Raises:
        InputError: nothing there, or nothing that is understood.
    """
    if not what:
        return describe_shipped()
    first = what[0]
    if len(what) == 1 and first.as_posix() in SHIPPED and not first.exists():
        return describe_network(find_model_file(first))
    if len(what) == 1 and first.suffix == ".safetensors":
        return describe_model(find_model(first))
    if len(what) == 1 and (first / "settings.yaml").is_file():
        return describe_run(RunFolder(first))
    if len(what) == 1 and is_image(first) and not named_alike(first)[1]:
        return describe_image(read_header(first))
    return describe_data(find_dataset(what))


def describe_shipped() -> str:
    """The networks that come with biounet, by name."""
    lines = ["networks that come with biounet (predict NAME …, train --from NAME …):"]
    for network in shipped_networks():
        lacking = "" if network.is_here else " (not in this installation)"
        lines.append(f"  {network.name:<22}{network.what}{lacking}")
    return "\n".join(lines)


def describe_network(path: Path) -> str:
    """A network that comes with biounet: the model, and its card."""
    card = path.with_suffix(".md")
    told = [card.read_text(encoding="utf-8").rstrip()] if card.is_file() else []
    return "\n\n".join([describe_model(find_model(path)), *told])


def describe_data(dataset: DataSet) -> str:
    """What was found, and what `train` would do with it."""
    items = [read_item(item) for item in dataset.items]
    facts = look_at(dataset, items)
    device = choose_device("auto")
    machine = this_machine(device.type)
    _, choices = derive_settings(facts, machine, "fast", {})
    sizes = sorted(set(facts.shapes))
    shown = ", ".join(" x ".join(map(str, s)) for s in sizes[:3])
    kinds = dict.fromkeys(str(item.image.dtype) for item in items)
    lines = [
        f"{len(items)} annotated image{'s' * (len(items) > 1)} ({dataset.layout})",
        f"  sizes      {shown} px" + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""),
        f"  channels   {facts.n_channels}, {', '.join(kinds)}",
        f"  labels     {facts.labels_are}, {facts.n_classes} classes",
    ]
    if facts.object_px is not None:
        lines.append(f"  objects    median diameter {facts.object_px:g} px")
    lines += _pixel_size(facts.pixel_size_um)
    lines += [f"  note       {note}" for note in dataset.notes]
    lines.append(
        f"train would use {machine.n_cores} cores, {device},"
        f" {choose_precision('auto', device)}, and"
    )
    lines += [f"  {c.name} = {c.value}: {c.why}" for c in choices]
    return "\n".join(lines)


def describe_image(header: Header) -> str:
    """What a file holds, and how a model would take it."""
    named = ", ".join(
        f"{axis if axis != '?' else 'pages'} {size}"
        for axis, size in zip(header.axes, header.shape, strict=True)
    )
    lines = [
        f"an image without labels beside it: {header.path}",
        f"  axes       {named}",
        f"  pixels     {header.dtype}",
    ]
    lines += _pixel_size(header.pixel_size_um)
    if header.channel_names is not None:
        lines.append(f"  channels   {', '.join(header.channel_names)}")
    if "?" in header.axes:
        lines.append(
            "  note       the file does not name its pages: images for a 2-D model, slices for a "
            "3-D one (else say --axes)"
        )
    return "\n".join(lines)


def _pixel_size(size_um: Sequence[float] | None) -> list[str]:
    return [] if size_um is None else [f"  pixel size {' x '.join(f'{s:g}' for s in size_um)} um"]


def describe_model(model: ModelFile) -> str:
    """Network, classes, training and labels' settings of a model."""
    settings, provenance = model.settings, model.provenance
    n_parameters = sum(p.numel() for p in network_of(model).parameters())
    footprint = settings.network.footprint
    score = provenance.get("score")
    network = settings.network
    what = f"a {network.kind} of"
    if isinstance(network, EnsembleSettings):
        what = f"the mean of {network.n_members} networks of kind {network.member.kind}, together"
    lines = [
        f"{what} {n_parameters:,} parameters, preset {settings.preset}",
        f"  input      {settings.network.channels} channels, {settings.network.dimensions}-D;"
        f" sizes {footprint.smallest[-1]} px plus multiples of {footprint.step[-1]};"
        f" margin {footprint.margin[-1]} px",
        f"  classes    {', '.join(model.class_names)}",
        *(
            f"  trained on {one.get('n_training_images', '?')} images,"
            f" {one.get('steps', '?')} steps, seed {one.get('seed', '?')},"
            f" biounet {one.get('biounet', '?')}"
            for one in provenance.get("members", [provenance])
        ),
        f"  objects    {_told(settings)}",
    ]
    if object_px := provenance.get("object_px"):
        lines.append(f"  learned    objects {object_px:g} px across (median)")
    lines += _pixel_size(provenance.get("pixel_size_um"))
    if score:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in score.items())
        lines.append(f"  validation {shown}")
    return "\n".join(lines)


def _told(settings: Settings) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.objects.model_dump().items())


def describe_run(run: RunFolder) -> str:
    """How far a run is, and its model."""
    records = read_records(run)
    steps = [r for r in records if r["kind"] == "step"]
    ended = any(r["kind"] == "end" and not r["interrupted"] for r in records)
    state = "finished" if ended else "not finished (--resume goes on)"
    lines = [f"a run, {state}, {steps[-1]['step'] if steps else 0} steps"]
    lines += [f"  {r['name']} = {r['value']}: {r['why']}" for r in records if r["kind"] == "choice"]
    if run.best.exists():
        lines.append(describe_model(find_model(run.best)))
    return "\n".join(lines)
