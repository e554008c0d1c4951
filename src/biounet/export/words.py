"""The page about a model that lies in its zip."""

from typing import Any

from biounet.config import ObjectSettings
from biounet.export.credits import Credits
from biounet.model import ModelFile
from biounet.network_settings import EnsembleSettings, NetworkSettings


def documentation(model: ModelFile, credits: Credits) -> str:  # noqa: A002
    """Markdown: what the model does, how to tile it, how it was validated."""
    settings = model.settings
    network = settings.network
    footprint = network.footprint
    margin, step, smallest = footprint.margin[-1], footprint.step[-1], footprint.smallest_tile[-1]
    provenance = model.provenance
    score = provenance.get("score")
    scores = ", ".join(f"{key} {value:.3f}" for key, value in score.items()) if score else "none"
    return f"""# {credits.name}

By {", ".join(credits.authors)}; licence {credits.licence}.{_to_cite(credits)}

{_what(network)}, {network.dimensions}-D, {network.channels} channel(s), trained
with biounet {provenance.get("biounet", "")}. It gives the probability of each class:
{", ".join(model.class_names)}.

## Grey values

{_grey_values(model)}

## Tiles

Every convolution is valid: a tile of n px gives n - {2 * margin} px (along x), each computed from
its whole neighbourhood. Legal tiles have {smallest} + {step} k px. In this file the output is as
large as the input; its outer {margin} px are 0 and belong to the halo, which is to be cut off.
Mirror the image at its edges. Tiles that start a multiple of {step} px apart give the same numbers
as one large tile: there are no seams.

## From probabilities to objects

{_objects(settings.objects)}

## Validation

Scores on images kept back from the training: {scores}.
{chr(10).join(map(_training, provenance.get("members", [provenance])))}
"""


def _what(network: NetworkSettings) -> str:
    if isinstance(network, EnsembleSettings):
        return f"The mean of {network.n_members} networks of kind {network.member.kind}"
    return f"A network of kind {network.kind}"


def _training(provenance: dict[str, Any]) -> str:
    n_images = provenance.get("n_training_images", "an unknown number of")
    return f"Trained on {n_images} images, {provenance.get('steps', 'an unknown number of')} steps."


def _to_cite(credits: Credits) -> str:  # noqa: A002
    if not credits.cite:
        return ""
    lines = (f"- {c.text}, {f'doi:{c.doi}' if c.doi else c.url}" for c in credits.cite)
    return "\n\nPlease cite:\n\n" + "\n".join(lines)


def _objects(objects: ObjectSettings) -> str:
    if objects.method == "classes":
        return "Every pixel belongs to the class that is most probable there."
    threshold = f"{1 - objects.threshold:g}"
    steps = [
        "Objects are the connected components (4-connected; 6 in 3-D) where the probability of"
        f" background is below {threshold}."
    ]
    if objects.method == "agglomeration":
        steps = [
            "Objects are the basins of the smoothed probability of background, merged where its"
            f" mean along their common boundary is below {objects.merge_threshold:g}, and cut to"
            f" where it is below {threshold}."
        ]
    if objects.fill_holes:
        steps.append("Holes in an object are filled.")
    if objects.minimum_size_px > 1:
        steps.append(f"Objects of fewer than {objects.minimum_size_px} px are removed.")
    if objects.grow_px:
        into = "the background"
        if objects.grow_threshold:
            into = f"pixels where it is at most {1 - objects.grow_threshold:g}"
        steps.append(f"What is left grows by {objects.grow_px} layers of pixels into {into}.")
    if objects.join_slices:
        steps.append(
            "Objects of successive slices of a stack are one where their intersection over union"
            f" is at least {objects.join_slices:g}."
        )
    return "\n".join(steps)


def _grey_values(model: ModelFile) -> str:
    if model.settings.intensity.source == "training-set":
        return (
            "Each channel is shifted by the training set's mean and divided by its standard"
            " deviation: images must be as bright as those."
        )
    return (
        "Each channel is shifted by the image's mean and divided by its standard deviation, of the"
        " whole image, never of a tile."
    )
