"""The settings of each network, and what follows from them: kernels, margins, legal sizes.

Part of `config.py`, in a file of its own.
"""

from itertools import accumulate
from math import prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from biounet.geometry import Footprint, Shape, hourglass_footprint, unet_footprint

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]


class Frozen(BaseModel):
    """Settings cannot be changed, and a name that does not exist is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UNetSettings(Frozen):
    """The network of the paper, generic in size and dimension (`networks/unet.py`)."""

    kind: Literal["unet"] = "unet"
    dimensions: Literal[2, 3] = 2
    channels: Positive = 1
    classes: Annotated[int, Field(ge=2)] = 2
    width: Positive = 64
    """Feature channels of the first level; doubled at each level below."""
    depth: Annotated[int, Field(ge=0, le=8)] = 4
    normalisation: Literal["none", "weight-standardisation"] = "none"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    pooling: tuple[Shape, ...] | None = None
    """Pooling factors per level and axis, finest first; None: 2 along every axis."""
    first_stride: Shape | None = None
    """Stride of the first convolution along each axis, and of the last layer, which is then a
    transposed convolution (sub-pixel convolution: Shi et al. 2016, doi:10.1109/CVPR.2016.207):
    all maps between are coarser by it. None: 1, as in the paper."""

    @property
    def strides(self) -> Shape:
        """The stride of the first and the last layer along each axis."""
        return self.first_stride or (1,) * self.dimensions

    @property
    def pooling_factors(self) -> tuple[Shape, ...]:
        """The pooling factors of each of the `depth` poolings."""
        return self.pooling or ((2,) * self.dimensions,) * self.depth

    @property
    def kernels(self) -> tuple[Shape, ...]:
        """Kernel sizes of each of the `depth + 1` levels; of the first convolution, in strides.

        3 along every axis; 1 along an axis that the pooling below leaves alone while it shrinks
        others (anisotropic voxels: coarse planes are not mixed before the voxels are cubes).
        """
        return (*map(kernel_before, self.pooling_factors), (3,) * self.dimensions)

    @property
    def footprint(self) -> Footprint:
        """Margins and legal sizes."""
        return unet_footprint(self.pooling_factors, self.kernels).enlarged(self.strides)

    @model_validator(mode="after")
    def _factors_fit(self) -> "UNetSettings":
        if self.first_stride is not None and (
            len(self.first_stride) != self.dimensions or min(self.first_stride) < 1
        ):
            raise ValueError(f"a first_stride of {self.dimensions} numbers, 1 or more each")
        if self.pooling is not None and (
            len(self.pooling) != self.depth
            or any(len(f) != self.dimensions or min(f) < 1 for f in self.pooling)
        ):
            raise ValueError(f"pooling with {self.depth} entries of {self.dimensions} factors")
        return self


N4_KERNELS = (4, 5, 4, 4)
"""Kernel sides of the convolutions of network N4, in px (Ciresan et al. 2012, Table 1)."""


class SlidingWindowSettings(Frozen):
    """The pixel classifier of Ciresan et al. 2012, network N4 (`networks/sliding_window.py`)."""

    kind: Literal["sliding-window"] = "sliding-window"
    dimensions: Literal[2, 3] = 2
    channels: Positive = 1
    classes: Annotated[int, Field(ge=2)] = 2
    width: Positive = 48
    """Maps of every stage."""
    neurons: Positive = 200
    """Of the fully connected layer."""
    stages: Annotated[int, Field(ge=1, le=4)] = 4
    """Convolution and 2 x 2 max pooling; kernels of 4, 5, 4, 4 px."""
    window_px: Positive = 95
    """Side of the window; see `sliding_window.py` for the legal ones."""
    foveation_px: Annotated[int, Field(ge=0, le=16)] = 0
    """Radius of the disk that blurs the window at its edge, falling to 0 half-way in; 0: none."""
    field_px: Positive | None = None
    """Side of the area that the window samples, ever coarser towards its edge; None: the window."""

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel side of the convolution of each stage."""
        return N4_KERNELS[: self.stages]

    @property
    def final_px(self) -> int:
        """Side of the maps that the fully connected layer sees."""
        size = self.window_px
        for kernel in self.kernels:
            size = (size - kernel + 1) // 2
        return size

    @property
    def footprint(self) -> Footprint:
        """Margins and legal sizes: every size of a window or more, every pixel its own window."""
        side = self.field_px or self.window_px
        return Footprint(
            margin=(side // 2,) * self.dimensions,
            step=(1,) * self.dimensions,
            smallest=(side,) * self.dimensions,
        )

    @field_validator("window_px")
    @classmethod
    def _window_halves_evenly(cls, window_px: int, info: ValidationInfo) -> int:
        stages = info.data.get("stages")
        if stages is None:  # wrong itself, and told so
            return window_px
        smallest = 1
        for kernel in reversed(N4_KERNELS[:stages]):
            smallest = 2 * smallest + kernel - 1
        step = 2**stages
        if window_px < smallest or (window_px - smallest) % step:
            nearest = smallest + max(0, round((window_px - smallest) / step)) * step
            raise ValueError(
                f"{smallest} px plus a multiple of {step} px for {stages} stages "
                f"(the nearest is {nearest} px)"
            )
        return window_px

    @field_validator("field_px")
    @classmethod
    def _field_has_a_centre(cls, field_px: int | None, info: ValidationInfo) -> int | None:
        window_px = info.data.get("window_px")
        if field_px is not None and window_px and (field_px <= window_px or field_px % 2 == 0):
            raise ValueError(f"an odd number of px, more than the window's {window_px}")
        return field_px


class FCNSettings(Frozen):
    """The fully convolutional network of Long et al. 2015 (`networks/fcn.py`)."""

    kind: Literal["fcn"] = "fcn"
    dimensions: Literal[2, 3] = 2
    channels: Positive = 1
    classes: Annotated[int, Field(ge=2)] = 2
    width: Positive = 32
    """Feature channels of the first level, doubled at each level below, up to 8 times as many.

    The paper's (VGG-16) has 64, and a head of 4096 channels."""
    depth: Annotated[int, Field(ge=0, le=6)] = 5
    """Number of poolings; 0: the plain stack of convolutions at full resolution."""
    stride: Positive | None = None
    """Stride of the finest maps that are scored: 32, 16 or 8 in the paper; None: two skip sums."""
    upsampling: Literal["transposed", "unpooling"] = "transposed"
    """Transposed convolutions that begin bilinear; or values put back where the pooling found
    its maxima, each followed by a convolution."""
    convolutions: tuple[Positive, ...] | None = None
    """Convolutions of each level, finest first; None: those of VGG-16 (2, 2, 3, 3, 3, …), or 4
    for the plain stack."""
    head_px: Literal[1, 3, 5, 7] = 7
    """Kernel side of the first "fully connected" layer of the coarsest level."""
    head_width: Positive = 512
    """Feature channels of the two "fully connected" layers."""
    normalisation: Literal["none", "weight-standardisation"] = "weight-standardisation"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """After each "fully connected" layer; 0.5 in the paper."""
    pooling: tuple[Shape, ...] | None = None
    """Pooling factors per level and axis, finest first; None: 2 along every axis."""

    @property
    def pooling_factors(self) -> tuple[Shape, ...]:
        """The pooling factors of each of the `depth` poolings."""
        return self.pooling or ((2,) * self.dimensions,) * self.depth

    @property
    def kernels(self) -> tuple[Shape, ...]:
        """Kernel sizes of each level (one level at depth 0), as for the U-Net."""
        return tuple(map(kernel_before, self.pooling_factors)) or ((3,) * self.dimensions,)

    @property
    def n_convolutions(self) -> tuple[int, ...]:
        """Convolutions of each level (one level at depth 0)."""
        if self.depth == 0:
            return self.convolutions or (4,)
        return self.convolutions or (2, 2, 3, 3, 3, 3)[: self.depth]

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of the maps after each pooling (along the axis that is pooled most)."""
        totals = accumulate(
            self.pooling_factors, lambda a, b: tuple(x * y for x, y in zip(a, b, strict=True))
        )
        return tuple(map(max, totals))

    @property
    def finest_scored(self) -> int:
        """The level of the finest maps that are scored: those after this many poolings."""
        if self.stride is None:
            return max(min(self.depth, 1), self.depth - 2)
        return 0 if self.depth == 0 else self.strides.index(self.stride) + 1

    @property
    def upsampled_levels(self) -> tuple[int, ...]:
        """The level that each up-sampling leads to; 0 is full resolution."""
        if self.upsampling == "unpooling":
            return tuple(reversed(range(self.depth)))
        skips = tuple(reversed(range(self.finest_scored, self.depth)))
        return (*skips, 0) if self.depth else ()

    def factor_between(self, fine: int, coarse: int) -> Shape:
        """How much coarser the maps of one level are than those of another, along each axis."""
        factors = self.pooling_factors[fine:coarse]
        return tuple(prod(f[axis] for f in factors) for axis in range(self.dimensions))

    @property
    def footprint(self) -> Footprint:
        """Margins and legal sizes."""
        losses = [
            tuple(n * (k - 1) for k in kernel)
            for n, kernel in zip(self.n_convolutions, self.kernels, strict=True)
        ]
        if self.depth == 0:
            return hourglass_footprint([], losses[0], [])
        up, coarse = [], self.depth
        for level in self.upsampled_levels:
            factor = self.factor_between(level, coarse)
            if self.upsampling == "unpooling":
                up.append((factor, tuple(k - 1 for k in self.kernels[level])))
            else:
                up.append((factor, tuple(f - f % 2 for f in factor)))
            coarse = level
        down = list(zip(losses, self.pooling_factors, strict=True))
        return hourglass_footprint(down, (self.head_px - 1,) * self.dimensions, up)

    @model_validator(mode="after")
    def _levels_fit(self) -> "FCNSettings":
        if self.pooling is not None and (
            len(self.pooling) != self.depth
            or any(len(f) != self.dimensions or min(f) < 1 for f in self.pooling)
        ):
            raise ValueError(f"pooling with {self.depth} entries of {self.dimensions} factors")
        n_levels = max(self.depth, 1)
        if self.convolutions is not None and len(self.convolutions) != n_levels:
            raise ValueError(f"convolutions with {n_levels} numbers, one a level")
        legal = self.strides or (1,)
        if self.stride is not None and self.stride not in legal:
            raise ValueError(f"a stride of {' or '.join(map(str, legal))}")
        return self


def kernel_before(pooling: Shape) -> Shape:
    """The kernel of the convolutions of the level above a pooling."""
    return tuple(1 if f == 1 and max(pooling) > 1 else 3 for f in pooling)


class EnsembleSettings(Frozen):
    """Networks alike whose probabilities are averaged (`networks/ensemble.py`)."""

    kind: Literal["ensemble"] = "ensemble"
    n_members: Annotated[int, Field(ge=2)]
    member: Annotated[
        UNetSettings | SlidingWindowSettings | FCNSettings, Field(discriminator="kind")
    ]

    @property
    def dimensions(self) -> Literal[2, 3]:
        """Of each member, as all that follows."""
        return self.member.dimensions

    @property
    def channels(self) -> int:
        """Of each member."""
        return self.member.channels

    @property
    def classes(self) -> int:
        """Of each member."""
        return self.member.classes

    @property
    def width(self) -> int:
        """Of each member: they compute one after another."""
        return self.member.width

    @property
    def footprint(self) -> Footprint:
        """Margins and legal sizes."""
        return self.member.footprint


NetworkSettings = Annotated[
    UNetSettings | SlidingWindowSettings | FCNSettings | EnsembleSettings,
    Field(discriminator="kind"),
]
