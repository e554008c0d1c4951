"""Where patches lie when little of an image is annotated."""

import numpy as np
import torch

from biounet.learning.sampling import TrainingImage, draw_centre


def test_a_patch_finds_the_one_stroke_of_a_large_image() -> None:
    weights = torch.zeros(600, 600)
    weights[37:40, 501:504] = 1
    source = TrainingImage("a", torch.zeros(1, 600, 600), torch.stack([weights, weights]))
    rng = np.random.default_rng(0)
    for _ in range(20):  # 64 tries find one of these 9 pixels of 360,000 once in 600 patches
        y, x = np.round(draw_centre(source, False, rng))
        assert 37 <= y <= 39
        assert 501 <= x <= 503
