"""The job: what it refuses, how it fails, how it is stopped, and what it leaves."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biounet.api import find_model
from biounet.config import FAST
from biounet.errors import InputError
from biounet.images.dataset import read_item
from biounet.images.writing import write_image
from biounet.model import Intensity, ModelFile, read_model, write_model
from biounet.network_settings import UNetSettings
from biounet.networks import build_network
from biounet.simulate import simulate_cells
from biounet.studio import trainer as trainer_module
from biounet.studio.annotation import apply_patches, set_rest
from biounet.studio.contents import Studio
from biounet.studio.folder import open_folder
from biounet.studio.marked import dataset_of
from biounet.studio.patches import Patch
from biounet.studio.regions import Box, plan_region, whole
from biounet.studio.runs import known_before
from biounet.studio.trainer import Sight, Status, losses_to_show


@pytest.fixture
def studio(write_images: Callable[..., Path], tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(open_folder(write_images(tmp_path, 2, (128, 128))), None)
    yield studio
    studio.trainer.close()


def paint(studio: Studio, y: int, x: int, value: int) -> None:
    annotation = studio.annotation("a.tif")
    patch = Patch(y, x, np.full((30, 30), value, np.uint16))
    apply_patches(annotation, [patch], annotation.versions[0])


def finished(studio: Studio, within_s: float = 60) -> Status:
    end = time.monotonic() + within_s
    while studio.trainer.status.state != "idle":
        assert time.monotonic() < end
        time.sleep(0.05)
    return studio.trainer.status


def test_what_cannot_be_learned_from(studio: Studio) -> None:
    studio.trainer.train(studio.marked, 1, False)
    assert "no painted cell" in str(finished(studio).problem)
    with pytest.raises(InputError, match="no model yet"):
        studio.trainer.segment("a.tif")
    paint(studio, 10, 10, 1)
    studio.trainer.train(studio.marked, 1, False)
    assert "cells but no background" in str(finished(studio).problem)
    assert not (studio.folder.root / "runs").exists()


def test_a_training_that_fails_is_told(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    paint(studio, 10, 10, 1)
    paint(studio, 60, 60, 0)
    monkeypatch.setattr(trainer_module, "train", fails)
    studio.trainer.train(studio.marked, 1, False)
    status = finished(studio)
    assert status.problem == "RuntimeError: CUDA out of memory"
    assert status.model is None
    monkeypatch.undo()
    studio.trainer.train(studio.marked, 0.01, False)  # the next one is not held up by it
    assert finished(studio).problem is None


def test_train_stop_train_on_segment(studio: Studio) -> None:
    image, _ = simulate_cells("touching-cells", (128, 128), np.random.default_rng(0))
    studio.image("a.tif").pixels[0] = image
    paint(studio, 10, 10, 1)
    set_rest(studio.annotation("a.tif"), True, 2)
    studio.trainer.view = Sight("a.tif", 0, Box(0, 0, 128, 128))
    studio.trainer.train(studio.marked, 10, False)
    while not studio.trainer.losses:
        assert studio.trainer.status.problem is None
        time.sleep(0.05)
    with pytest.raises(InputError, match="a job that runs"):
        studio.trainer.train(studio.marked, 1, False)
    studio.trainer.stop()
    status = finished(studio)
    assert (status.problem, status.model) == (None, "001")
    first = read_model(studio.folder.runs / "001/last.safetensors")

    studio.trainer.train(studio.marked, 0.05, False)
    assert finished(studio).model == "002"
    settings = read_model(studio.folder.runs / "002/last.safetensors").settings
    assert settings.network == first.settings.network
    steps = [step for step, _ in studio.trainer.losses]
    assert steps == sorted(set(steps))  # one curve over both runs
    assert studio.trainer.predictions.of("a.tif")[0].labels.shape == (128, 128)

    studio.trainer.segment("b.tif")
    assert finished(studio).problem is None
    assert studio.trainer.predictions.of("b.tif")[0].box == whole((128, 128))
    again = Studio(studio.folder, None)  # after a restart the last model is there
    assert again.trainer.status.model == "002"


def test_training_goes_on_from_a_model_that_was_there_before(
    write_images: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_with: list[Any] = []
    whole_training = trainer_module.train

    def noted(dataset: Any, request: Any, *others: Any) -> Any:
        began_with.append((request.start_from.provenance, request.said["training"]))
        return whole_training(dataset, request, *others)

    monkeypatch.setattr(trainer_module, "train", noted)
    studio = Studio(open_folder(write_images(tmp_path, 1, (128, 128))), known_before("nuclei"))
    assert studio.trainer.status.model == "nuclei"
    image, _ = simulate_cells("nuclei", (128, 128), np.random.default_rng(0))
    studio.image("a.tif").pixels[0] = image
    studio.trainer.segment("a.tif")
    assert finished(studio).problem is None
    assert studio.trainer.predictions.of("a.tif")[0].labels.max() > 5
    assert not studio.folder.runs.exists()

    paint(studio, 10, 10, 1)
    set_rest(studio.annotation("a.tif"), True, 2)
    for afresh in (False, False, True):
        studio.trainer.train(studio.marked, 0.04, afresh)
        assert finished(studio, 90).problem is None
    shipped = find_model("nuclei").provenance
    (first, rates), (second, _), (third, _) = began_with
    assert first == third == shipped
    assert second["n_training_images"] == 1
    assert "learning_rate" not in rates  # the studio's own is for the narrow network
    studio.trainer.close()


def test_a_model_of_other_channels_is_told_and_can_be_trained(tmp_path: Path) -> None:
    image, _ = simulate_cells("nuclei", (128, 128), np.random.default_rng(0))
    write_image(tmp_path / "a.tif", np.stack([image] * 2), "CYX")
    studio = Studio(open_folder(tmp_path), known_before("nuclei"))
    studio.trainer.segment("a.tif")
    assert "a.tif with 2 channels; wanted 1" in str(finished(studio).problem)
    paint(studio, 10, 10, 1)
    set_rest(studio.annotation("a.tif"), True, 2)
    studio.trainer.train(studio.marked, 0.04, False)
    assert finished(studio, 90).problem is None
    studio.trainer.segment("a.tif")
    assert finished(studio).problem is None
    studio.trainer.close()


def test_a_look_at_an_image_of_other_channels_stops_no_training(tmp_path: Path) -> None:
    image, _ = simulate_cells("nuclei", (128, 128), np.random.default_rng(0))
    write_image(tmp_path / "a.tif", image, "YX")
    write_image(tmp_path / "b.tif", np.stack([image] * 2), "CYX")
    studio = Studio(open_folder(tmp_path), None)
    paint(studio, 10, 10, 1)
    set_rest(studio.annotation("a.tif"), True, 2)
    studio.trainer.view = Sight("b.tif", 0, Box(0, 0, 128, 128))
    studio.trainer.train(studio.marked, 0.03, False)
    status = finished(studio, 90)
    assert (status.problem, status.model) == (None, "001")
    studio.trainer.close()


def test_what_a_studio_cannot_begin_with(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file nothing-there"):
        known_before("nothing-there")
    network = UNetSettings(dimensions=3, width=2, depth=1)
    settings = FAST.model_copy(update={"network": network})
    weights = build_network(network).state_dict()
    model = ModelFile(settings, weights, ("background", "cell"), Intensity((0.0,), (1.0,)))
    write_model(model, tmp_path / "volumes.safetensors")
    with pytest.raises(InputError, match="a model of volumes"):
        known_before(str(tmp_path / "volumes.safetensors"))


def test_of_a_stack_the_painted_planes_are_learned_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 255, (2, 3, 100, 110)).astype(np.uint8)
    write_image(tmp_path / "s.tif", stack, "TZYX")
    write_image(tmp_path / "t.tif", stack[0, 0], "YX")
    studio = Studio(open_folder(tmp_path), None)
    annotation = studio.annotation("s.tif")
    square = Patch(10, 10, np.full((30, 30), 1, np.uint16))
    apply_patches(annotation, [square], 1, plane=4)
    set_rest(annotation, True, 2, plane=4)
    apply_patches(annotation, [Patch(0, 0, np.full((5, 5), 0, np.uint16))], 1, plane=2)
    flat = studio.annotation("t.tif")
    apply_patches(flat, [square], 1)
    dataset = dataset_of(studio.marked())
    assert [item.labels[0].page for item in dataset.items] == [(0, 2), (1, 1), ()]
    read = [read_item(item) for item in dataset.items]
    assert np.array_equal(read[1].image[0], stack[1, 1])
    assert read[1].annotated is None
    assert read[0].annotated is not None and read[0].annotated.sum() == 25

    studio.trainer.train(studio.marked, 0.02, False)
    assert finished(studio).problem is None
    studio.trainer.segment("s.tif", range(6))
    assert finished(studio).problem is None
    assert sorted(studio.trainer.predictions.of("s.tif")) == list(range(6))
    assert studio.trainer.status.progress == 1
    studio.trainer.close()


def test_a_training_that_fails_midway_leaves_a_model(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "KEEP_S", 0.0)
    paint(studio, 10, 10, 1)
    set_rest(studio.annotation("a.tif"), True, 2)
    whole_training = trainer_module.train

    def fails(dataset: Any, request: Any, folder: Any, on_record: Any, on_present: Any) -> Any:
        def dies(record: Any) -> None:
            on_record(record)
            if record["kind"] == "step" and record["step"] >= 4:
                raise RuntimeError("the power went")

        return whole_training(dataset, request, folder, dies, on_present)

    monkeypatch.setattr(trainer_module, "train", fails)
    studio.trainer.train(studio.marked, 5, False)
    status = finished(studio)
    assert status.problem == "RuntimeError: the power went"
    assert status.model == "001"
    kept = read_model(studio.folder.runs / "001/last.safetensors")
    assert kept.provenance["steps"] >= 3


@given(
    st.tuples(st.integers(-500, 5000), st.integers(-500, 5000)),
    st.tuples(st.integers(1, 9000), st.integers(1, 9000)),
    st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
    st.integers(1, 10**7),
)
def test_previews_lie_in_the_image_and_are_small(
    corner: tuple[int, int], size: tuple[int, int], shape: tuple[int, int], most_px: int
) -> None:
    box = plan_region(Box(*corner, *size), shape, most_px)
    (y0, x0), (y1, x1) = box.corners()
    assert 0 <= y0 < y1 <= shape[0]
    assert 0 <= x0 < x1 <= shape[1]
    assert (y1 - y0) * (x1 - x0) <= max(most_px, *shape)
    if shape[0] * shape[1] <= most_px:
        assert box == whole(shape)


def test_a_long_curve_is_thinned() -> None:
    losses = [(k, 1.0 / k) for k in range(1, 1900)]
    shown = losses_to_show(losses)
    assert len(shown) < 500
    assert shown[0] == losses[0]
    assert shown[-1] == losses[-1]
    assert losses_to_show([]) == []
