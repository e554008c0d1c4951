"""Make the figures of the documentation with the package's own functions, on simulated cells.

    python docs/make_figures.py

writes docs/images/*.png. Nothing is trained: the figures show geometry, labels and weights.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from biounet.config import FAST, AugmentationSettings
from biounet.geometry import Footprint, Shape, plan_tiles
from biounet.learning.affinities import pair_offsets
from biounet.learning.augmentation import (
    draw_change,
    in_pixels,
    sample_image,
    sample_rng,
    sampling_grid,
)
from biounet.learning.borders import separate_touching
from biounet.learning.weight_map import weight_map
from biounet.model import Intensity
from biounet.network_settings import UNetSettings
from biounet.networks import build_network
from biounet.prediction.overlap_tile import predict_image
from biounet.report.pictures import (
    Rgb,
    enlarged,
    grid_picture,
    mask_picture,
    tile_picture,
    truth_picture,
    weights_picture,
)
from biounet.simulate import simulate_cells

IMAGES = Path(__file__).parent / "images"
SIDE_PX = 230
GAP_PX = 8
N_COLOURS = 128
SAME, OTHER = (86, 180, 233), (230, 97, 0)
PAIRED_PX = ((82, 84), (100, 56))
"""Pixels of cells that touch others."""


def main() -> None:
    """Write every figure."""
    image, labels = simulate_cells("touching-cells", (192, 192), np.random.default_rng(3))
    write(weight_figure(grey(image), labels), "weight_map.png")
    write(pairs_figure(grey(image), labels), "pairs.png")
    write(elastic_figure(grey(image)), "elastic.png")
    write(tile_figure(), "overlap_tile.png")
    write(tiling_figure(), "tiling.png")


def weight_figure(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> list[Rgb]:
    """Fig. 3 of the paper: image, labels, mask with cut borders, weights of eq. (2)."""
    separated = separate_touching(labels, width_px=1)
    class_map = (separated > 0).astype(np.int32)
    weights = weight_map(separated, class_map, np.ones(2), border_weight=10.0, border_sigma_px=5.0)
    return [
        enlarged(image, SIDE_PX),
        truth_picture(image, labels, "instances", SIDE_PX),
        mask_picture(class_map, SIDE_PX),
        weights_picture(weights, SIDE_PX, float(weights.max())),
    ]


def pairs_figure(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> list[Rgb]:
    """Pixels, and those with which they make pairs, at a stride of 2 px."""
    objects = separate_touching(labels, width_px=1)
    distances = [2 * distance for distance in FAST.affinities.distances]
    one_way = np.array(pair_offsets(distances, 2))
    scale = 2 * SIDE_PX / len(image)
    pictures = []
    for pixel in PAIRED_PX:
        picture = Image.fromarray(enlarged(image, 2 * SIDE_PX))
        draw = ImageDraw.Draw(picture)
        for end in (pixel + offset for offset in (*one_way, *-one_way)):
            if (end < 0).any() or (end >= image.shape).any() or not objects[tuple(end)]:
                continue
            same = objects[tuple(end)] == objects[pixel]
            (y0, x0), (y1, x1) = (np.array(p) * scale + scale / 2 for p in (pixel, end))
            draw.line((x0, y0, x1, y1), SAME if same else OTHER, 3)
            draw.ellipse((x1 - 5, y1 - 5, x1 + 5, y1 + 5), SAME if same else OTHER)
        pictures.append(np.asarray(picture))
    return pictures


def elastic_figure(image: NDArray[np.uint8]) -> list[Rgb]:
    """An image with straight lines, and three random samples of it with the same lines."""
    centre = np.array([(n - 1) / 2 for n in image.shape])
    straight = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"))
    pictures = [grid_picture(image, straight.astype(np.float32), (0, 0), 24, SIDE_PX)]
    source = torch.from_numpy(image.astype(np.float32))[None]
    for number in range(3):
        change = draw_change(AugmentationSettings(), 2, sample_rng(1, number))
        grid = sampling_grid(change, centre, image.shape, source)
        sample = sample_image(source, grid, "bilinear")[0].clamp(0, 255).numpy().astype(np.uint8)
        pictures.append(grid_picture(sample, in_pixels(grid, source).numpy(), (0, 0), 24, SIDE_PX))
    return pictures


def tile_figure() -> list[Rgb]:
    """Fig. 2 of the paper: the first tile of an image, with its mirrored context."""
    image, _ = simulate_cells("phase-contrast", (512, 512), np.random.default_rng(5))
    footprint = UNetSettings(width=1).footprint
    plan = plan_tiles(image.shape, footprint, footprint.input_for((256, 256)))
    tile = plan.tile((0, 0))
    written = tuple(b - a for a, b in zip(tile.write_start, tile.write_stop, strict=True))
    return [
        tile_picture(
            grey(image), image.shape, footprint.margin, plan.input_shape, written, 2 * SIDE_PX
        )
    ]


def tiling_figure() -> list[Rgb]:
    """Probabilities, and how they differ for other tiles: on the network's grid, and off it.

    The network's weights are random, so that every pixel of the context matters.
    """
    image, _ = simulate_cells("touching-cells", (193, 193), np.random.default_rng(7))
    settings = UNetSettings(width=8, depth=3, dropout=0.0)
    torch.manual_seed(0)
    network = build_network(settings).eval()
    intensity = Intensity((float(image.mean()),), (float(image.std()),))

    def engine(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(tiles)).softmax(1), np.float32)

    def predicted(pixels: NDArray[np.uint16], output_px: int) -> NDArray[np.float32]:
        footprint: Footprint = settings.footprint
        size: Shape = footprint.input_for((output_px, output_px))
        plan = plan_tiles(pixels.shape, footprint, size)
        return np.asarray(predict_image(pixels[None], plan, intensity, engine, 2)[1])

    whole = predicted(image, 193)
    other_tiles = np.abs(predicted(image, 64) - whole)
    off_grid = np.abs(predicted(image[1:, 1:], 192) - whole[1:, 1:])
    inside = np.s_[44:-44, 44:-44]  # where no mirrored edge takes part
    print(f"other tiles: at most {other_tiles.max():.1e}")  # noqa: T201
    print(f"off the grid: at most {off_grid[inside].max():.1e}")  # noqa: T201
    highest = float(off_grid[inside].max())
    return [
        enlarged(grey(whole), SIDE_PX),
        weights_picture(other_tiles, SIDE_PX, highest),
        weights_picture(np.clip(off_grid, 0, highest), SIDE_PX, highest),
    ]


def grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image in 8 bits, the darkest and brightest 0.5 % cut off."""
    low, high = np.percentile(image, (0.5, 99.5))
    return np.asarray(np.clip((image - low) / (high - low), 0, 1) * 255, np.uint8)


def write(pictures: list[Rgb], name: str) -> None:
    """Write pictures side by side as a PNG of few colours."""
    gap = np.full((pictures[0].shape[0], GAP_PX, 3), 255, np.uint8)
    row = pictures[0]
    for picture in pictures[1:]:
        row = np.concatenate([row, gap, picture], axis=1)
    path = IMAGES / name
    Image.fromarray(row).quantize(N_COLOURS).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    main()
