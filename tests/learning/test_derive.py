"""Derived settings: from data and machine, with reasons; the user's word wins."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biounet.errors import InputError
from biounet.images.arrays import dataset_from_arrays
from biounet.images.dataset import read_item
from biounet.learning.derive import Facts, Machine, derive_settings, look_at, patch_bytes
from biounet.network_settings import FCNSettings, UNetSettings
from biounet.simulate import simulate_cells

FCN = {"kind": "fcn"}
MACHINE = Machine(n_cores=4, memory_bytes=16 * 2**30, device="cpu")


def facts(**changes: object) -> Facts:
    plain: dict[str, object] = {
        "n_channels": 1,
        "n_classes": 2,
        "labels_are": "instances",
        "shapes": ((512, 512),) * 4,
        "pixel_size_um": None,
        "object_px": 80.0,
        "smallest_object_px": 400,
        "partly_annotated": False,
    }
    return Facts(**{**plain, **changes})  # type: ignore[arg-type]


def test_facts_of_images_are_measured() -> None:
    rng = np.random.default_rng(0)
    pairs = [simulate_cells("nuclei", (128, 96), rng) for _ in range(2)]
    dataset = dataset_from_arrays([a for a, _ in pairs], [b for _, b in pairs])
    seen = look_at(dataset, [read_item(item) for item in dataset.items])
    assert seen.shapes == ((128, 96),) * 2
    assert seen.labels_are == "instances"
    areas = np.concatenate([np.bincount(b.ravel())[1:] for _, b in pairs])
    assert seen.object_px == pytest.approx(2 * np.sqrt(np.median(areas) / np.pi), abs=0.1)


@pytest.mark.parametrize(
    ("sizes_um", "common"),
    [
        ([0.5, 0.5], 0.5),
        ([0.5, 0.6, 0.52], 0.52),
        ([0.5, None], 0.5),
        ([0.5, 1.0], None),
        ([None, None], None),
    ],
)
def test_a_pixel_size_is_one_that_images_share(
    sizes_um: list[float | None], common: float | None
) -> None:
    image, labels = simulate_cells("nuclei", (64, 64), np.random.default_rng(0))
    dataset = dataset_from_arrays([image] * len(sizes_um), [labels] * len(sizes_um))
    items = [
        replace(read_item(item), pixel_size_um=None if size is None else (size, size))
        for item, size in zip(dataset.items, sizes_um, strict=True)
    ]
    wanted = None if common is None else (common, common)
    assert look_at(dataset, items).pixel_size_um == wanted


@pytest.mark.parametrize(
    ("object_px", "side", "stride", "depth"),
    [(10.0, 512, 1, 3), (20.0, 512, 2, 2), (90.0, 512, 4, 3), (None, 512, 2, 3), (90.0, 64, 1, 3)],
)
def test_the_size_of_objects_decides_the_scale(
    object_px: float | None, side: int, stride: int, depth: int
) -> None:
    seen = facts(object_px=object_px, shapes=((side, side),))
    network = derive_settings(seen, MACHINE, "fast", {})[0].network
    assert isinstance(network, UNetSettings)
    assert (network.strides, network.depth) == ((stride, stride), depth)


def test_borders_are_cut_half_a_stride_wide_and_cores_grow_a_quarter_of_a_cell() -> None:
    large, _ = derive_settings(facts(object_px=90.0), MACHINE, "fast", {})
    assert large.weights.border_width_px == 2
    assert (large.objects.grow_px, large.objects.grow_threshold) == (22, 0.5)
    medium, _ = derive_settings(facts(object_px=22.0), MACHINE, "fast", {})
    assert medium.weights.border_width_px == 1
    assert medium.objects.grow_px == 6
    paper, _ = derive_settings(facts(object_px=90.0), MACHINE, "paper", {})
    assert paper.weights.border_width_px == 1
    mask, _ = derive_settings(facts(labels_are="mask", object_px=None), MACHINE, "fast", {})
    assert (mask.objects.grow_px, mask.weights.border_width_px) == (0, 1)
    fine, _ = derive_settings(facts(), MACHINE, "fast", {"network": {"first_stride": [1, 1]}})
    assert fine.weights.border_width_px == 1
    said = {"weights": {"border_width_px": 3}, "objects": {"grow_px": 1}}
    asked, _ = derive_settings(facts(object_px=90.0), MACHINE, "fast", said)
    assert (asked.weights.border_width_px, asked.objects.grow_px) == (3, 1)


@pytest.mark.parametrize(
    ("object_px", "said", "spacing_px", "n_points"),
    [
        (22.0, {}, 64, 8),  # 388 px and two margins of 40
        (90.0, {}, 128, 8),  # images of 600 px and two margins of 176
        (90.0, {"network": {"first_stride": [2, 2], "depth": 4}}, 128, 7),  # two margins of 184
        (22.0, {"training": {"patch_px": 100}}, 64, 4),
        (22.0, {"network": {"kind": "fcn"}}, 64, 8),
    ],
)
def test_elastic_deformation_bends_single_objects(
    object_px: float, said: dict[str, dict[str, object]], spacing_px: int, n_points: int
) -> None:
    shapes = ((600, 700),)
    settings, _ = derive_settings(facts(object_px=object_px, shapes=shapes), MACHINE, "fast", said)
    bent = settings.augmentation
    assert (bent.elastic_std_px, bent.elastic_grid) == (spacing_px / 8, n_points)
    paper, _ = derive_settings(facts(object_px=object_px), MACHINE, "paper", said)
    assert (paper.augmentation.elastic_std_px, paper.augmentation.elastic_grid) == (10, 3)


def test_patches_fit_into_memory() -> None:
    little = Machine(n_cores=4, memory_bytes=2**29, device="cpu")
    settings, choices = derive_settings(facts(object_px=10.0), little, "fast", {})
    network = settings.network
    needed = patch_bytes(
        settings.training.patch_px, network.depth, network.width, network.strides[0], 2
    )  # type: ignore[union-attr]
    assert needed <= 2**28
    assert any("memory" in c.why for c in choices)


def test_classes() -> None:
    classes, _ = derive_settings(
        facts(labels_are="classes", n_classes=4, object_px=None), MACHINE, "paper", {}
    )
    assert classes.network.classes == 4
    assert classes.objects.method == "classes"


def test_anisotropic_voxels_are_pooled_late_along_z() -> None:
    volume = facts(shapes=((40, 200, 200),), pixel_size_um=(4.0, 1.0, 1.0))
    settings, _ = derive_settings(volume, MACHINE, "fast", {})
    assert settings.network.pooling == ((1, 2, 2), (1, 2, 2))  # type: ignore[union-attr]
    deeper, _ = derive_settings(volume, MACHINE, "fast", {"network": {"depth": 3}})
    assert deeper.network.pooling == ((1, 2, 2), (1, 2, 2), (2, 2, 2))  # type: ignore[union-attr]


@given(
    st.sampled_from(["fast", "paper"]),
    st.fixed_dictionaries({}, optional={"width": st.integers(2, 9), "depth": st.integers(1, 5)}),
    st.fixed_dictionaries(
        {}, optional={"patch_px": st.integers(1, 99), "learning_rate": st.floats(1e-5, 1)}
    ),
)
def test_what_the_user_says_wins(
    preset: str, network: dict[str, object], training: dict[str, object]
) -> None:
    said = {"network": network, "training": training}
    settings, choices = derive_settings(facts(), MACHINE, preset, said)
    for section, values in said.items():
        for name, value in values.items():
            assert getattr(getattr(settings, section), name) == value
            assert f"{section}.{name}" not in [c.name for c in choices]


def test_rivals_learn_by_their_own_recipes() -> None:
    window, _ = derive_settings(facts(), MACHINE, "paper", {"network": {"kind": "sliding-window"}})
    assert window.network.kind == "sliding-window"
    assert (window.training.patch_px, window.training.batch) == (1, 64)
    assert window.training.balanced_sampling
    assert window.augmentation.rotation == "right-angles"
    assert window.augmentation.elastic_std_px == 0
    dense, _ = derive_settings(facts(), MACHINE, "fast", {"network": {"kind": "sliding-window"}})
    assert (dense.training.patch_px, dense.training.batch) == (128, 1)


def test_an_fcn_gets_the_context_and_the_width_that_a_unet_gets() -> None:
    """A rival with four times the work a step, or margins of 214 px, would lose by neglect."""
    for changes in ({}, {"object_px": 20.0}, {"shapes": ((24, 60, 60),), "object_px": None}):
        brief = {"training": {"minutes": 2}}
        unet, _ = derive_settings(facts(**changes), MACHINE, "fast", brief)
        fcn, _ = derive_settings(facts(**changes), MACHINE, "fast", brief | {"network": FCN})
        assert fcn.network.kind == "fcn"
        assert fcn.network.width == unet.network.width
        assert fcn.network.head_width == 16 * fcn.network.width
        margins = zip(fcn.network.footprint.margin, unet.network.footprint.margin, strict=True)
        assert all(0.75 < a / b < 1.35 for a, b in margins)
    paper, _ = derive_settings(facts(), MACHINE, "paper", {"network": FCN})
    assert paper.network == FCNSettings()
    said, _ = derive_settings(facts(), MACHINE, "fast", {"network": FCN | {"depth": 5}})
    assert (said.network.depth, said.network.strides[-1]) == (5, 32)  # type: ignore[union-attr]
    coarse, _ = derive_settings(facts(), MACHINE, "fast", {"network": FCN | {"stride": 32}})
    assert (coarse.network.depth, coarse.network.stride) == (5, 32)  # type: ignore[union-attr]


def test_unknown_networks_are_refused() -> None:
    with pytest.raises(InputError, match="one of unet, fcn, sliding-window"):
        derive_settings(facts(), MACHINE, "fast", {"network": {"kind": "transformer"}})


def test_pairs_are_learned_where_objects_are_told_apart() -> None:
    def distances(preset: str, said: dict[str, Any], **changes: object) -> tuple[int, ...]:
        return derive_settings(facts(**changes), MACHINE, preset, said)[0].affinities.distances

    usual = (3, 8, 20)
    assert distances("fast", {}) == ()
    assert distances("fast", {}, object_px=30.0) == usual
    assert distances("fast", {}, object_px=12.0) == usual
    assert distances("fast", {}, labels_are="mask", object_px=None) == usual
    assert distances("fast", {}, object_px=30.0, partly_annotated=True) == usual
    assert distances("fast", {}, labels_are="mask", object_px=None, partly_annotated=True) == ()
    assert distances("fast", {}, labels_are="classes", object_px=None) == ()
    assert distances("fast", {}, shapes=((30, 90, 90),)) == ()
    assert distances("fast", {"affinities": {"distances": [5]}}, labels_are="classes") == (5,)
    assert distances("fast", {"network": FCN}) == ()
    assert distances("fast", {"network": {"kind": "sliding-window"}}) == ()
    assert distances("paper", {}) == ()
    with pytest.raises(InputError, match=r"found affinities.distances = \[3\] for network fcn"):
        distances("fast", {"network": FCN, "affinities": {"distances": [3]}})
