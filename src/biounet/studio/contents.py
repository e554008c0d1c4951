"""What is open in a folder: images, annotations, the trainer."""

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from biounet.errors import InputError
from biounet.studio.annotation import Annotation, current, is_trainable, open_annotation
from biounet.studio.events import Events
from biounet.studio.folder import ImageFolder, image_path, labels_path, list_names
from biounet.studio.marked import Marked
from biounet.studio.pyramid import Pyramid, open_pyramid
from biounet.studio.runs import Known
from biounet.studio.trainer import Trainer

N_OPEN_IMAGES = 3


class Studio:
    """The open images, annotations and the trainer of one folder.

    `before`: a model that is there before the first training.
    """

    def __init__(self, folder: ImageFolder, before: Known | None) -> None:
        self.folder = folder
        self.events = Events()
        self._pyramids: OrderedDict[str, Pyramid] = OrderedDict()
        self._annotations: dict[str, Annotation] = {}
        self._opening = Lock()
        self.trainer = Trainer(folder, self.events, self.image, before)

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
                    self.folder,
                    name,
                    (*image.page_sizes, *image.shape),
                    image.pixel_size_um,
                    image.page_axes + "YX",
                )
            return self._annotations[name]

    def planes(self, name: str) -> NDArray[np.uint16]:
        """(P, Y, X), the labels of an image as they were saved last."""
        annotation = self.annotation(name)
        with annotation.lock:
            return current(annotation).planes

    def marked(self) -> Marked:
        """The annotated images.

        Raises:
            InputError: nothing that a network can learn from.
        """
        images, labels, pages, cells, background = [], [], set(), False, False
        for name in list_names(self.folder):
            path = labels_path(self.folder, name)
            if not path.exists():
                continue
            sizes = self.image(name).page_sizes
            for number, plane in enumerate(self.planes(name)):
                has_cell, has_background = is_trainable(plane)
                if has_cell or has_background:
                    index = tuple(int(k) for k in np.unravel_index(number, sizes or (1,)))
                    pages.add((path, index if sizes else ()))
                cells, background = cells or has_cell, background or has_background
            if any(path == one for one, _ in pages):
                images.append(image_path(self.folder, name))
                labels.append(path)
        if not cells:
            raise InputError("no painted cell", "a few cells", "paint some first")
        if not background:
            raise InputError(
                "cells but no background",
                "some of both",
                "paint background (G) or switch on 'rest is background'",
            )
        return Marked(tuple(images), tuple(labels), frozenset(pages))
