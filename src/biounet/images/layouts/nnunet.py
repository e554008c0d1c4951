"""nnU-Net raw folders: imagesTr/x_0000.tif (a file per channel), labelsTr/x.tif, dataset.json."""

import json
from pathlib import Path
from typing import Any

from biounet.errors import InputError
from biounet.images.channels import channel_of
from biounet.images.dataset import Source
from biounet.images.layouts.assembly import Found
from biounet.images.layouts.matching import list_images
from biounet.images.layouts.pages import Pair
from biounet.images.reading import image_stem


def is_nnunet(folder: Path) -> bool:
    """Whether `folder` is one data set of nnU-Net's raw folder."""
    return (folder / "imagesTr").is_dir() and (folder / "labelsTr").is_dir()


def find_nnunet(folder: Path) -> Found:
    """The training cases; classes, their names and the ignore value come from dataset.json.

    Raises InputError for files without a channel number and labels without images.
    """
    channels: dict[str, dict[int, Path]] = {}
    for path in list_images(folder / "imagesTr"):
        named = channel_of(path)
        if named is None:
            raise InputError(
                f"a file without a channel number in an nnU-Net folder: {path}",
                "names such as case_0000.tif",
                "rename it",
            )
        channels.setdefault(named[0], {})[named[1]] = path
    pairs = []
    for label in list_images(folder / "labelsTr"):
        case = image_stem(label)
        if case not in channels:
            raise InputError(
                f"a label with no image: {label}",
                f"{case}_0000 in {folder / 'imagesTr'}",
                "add the image, or take the label out",
            )
        files = [path for _, path in sorted(channels[case].items())]
        pairs.append(
            Pair(case, tuple(Source(p.name, p) for p in files), (Source(label.name, label),))
        )
    names = _label_values(folder)
    ignore_value = names.pop("ignore", None)
    n_lone = len(channels) - len(pairs)
    return Found(
        tuple(pairs),
        "nnU-Net (imagesTr/, labelsTr/)",
        (f"{n_lone} images have no label and are left out",) if n_lone else (),
        labels_are="mask" if len(names) == 2 else "classes",
        ignore_value=ignore_value,
        class_names=tuple(sorted(names, key=names.__getitem__)) or None,
    )


def _label_values(folder: Path) -> dict[str, int]:
    """Label values by name; empty when there is no dataset.json, or it names regions."""
    path = folder / "dataset.json"
    if not path.exists():
        return {}
    try:
        labels: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["labels"]
        return {str(name): int(value) for name, value in labels.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"a dataset.json without plain labels: {path} ({error!r})",
            'labels such as {"background": 0, "cell": 1}',
            "correct it, or take it away",
        ) from error
