"""One engine for many threads: whose tiles, in which batches, and whose errors."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from biounet.config import PredictionSettings
from biounet.images.writing import write_image
from biounet.model import write_model
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.jobs.recipe import read_recipe, ready_predictor
from biounet.prediction.jobs.sharing import in_one_thread, same_bits_in_a_batch
from biounet.prediction.predictor import make_predictor


def tile(value, side=4):
    return np.full((1, 1, side, side), value, np.float32)


class Slow:
    """An engine that notes its batches and waits until it may go on."""

    def __init__(self):
        self.batches, self.threads, self.go = [], set(), threading.Event()

    def __call__(self, tiles):
        self.go.wait(10)
        self.threads.add(threading.get_ident())
        self.batches.append(tiles[:, 0, 0, 0].tolist())
        if -1 in self.batches[-1]:
            raise MemoryError("too much")
        return tiles * 2


def ask(engine, slow, values, sides=None):
    """All at once, the first one before the others."""
    sides = sides or [4] * len(values)
    with ThreadPoolExecutor(len(values)) as threads:
        answers = []
        for value, side in zip(values, sides, strict=True):
            answers.append(threads.submit(engine, tile(value, side)))
            threading.Event().wait(0.02)
        slow.go.set()
        return [answer.exception() or answer.result() for answer in answers]


def test_tiles_that_wait_are_computed_together_in_one_thread():
    slow = Slow()
    answers = ask(in_one_thread(slow, 1, lambda *_: 3), slow, range(8))
    assert slow.batches == [[0, 0, 0], [1, 2, 3], [4, 5, 6], [7, 0, 0]]
    assert [a[0, 0, 0, 0] for a in answers] == [2 * k for k in range(8)]
    assert len(slow.threads) == 1
    assert slow.threads != {threading.get_ident()}


def test_other_shapes_wait_for_their_turn():
    slow = Slow()
    engine = in_one_thread(slow, 1, lambda *_: 3)
    answers = ask(engine, slow, [0, 1, 2, 3, 4], [4, 4, 5, 4, 5])
    assert slow.batches == [[0, 0, 0], [1, 3, 0], [2, 4, 0]]
    assert [a.shape[-1] for a in answers] == [4, 4, 5, 4, 5]


def test_the_thread_ends_with_its_engine():
    threads = []

    def note(tiles):
        threads.append(threading.current_thread())
        return tiles

    engine = in_one_thread(note, 1, lambda *_: 1)
    engine(tile(1))
    assert threads[0].is_alive()
    del engine
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_the_predictors_used_last_are_kept(tmp_path, model_path, blobs, monkeypatch):
    monkeypatch.setattr("biounet.prediction.jobs.recipe.MOST_READY", 2)
    write_image(tmp_path / "a.tif", blobs(0, 40, 50), "YX")
    options = PredictionSettings(engine="torch", precision="float32")
    recipes = []
    for tile_px in (44, 52, 60):
        chosen, out = options.model_copy(update={"tile": tile_px}), tmp_path / str(tile_px)
        predict_files(model_path, [tmp_path / "a.tif"], out, chosen)
        recipes.append(read_recipe(out))
    second, third = (ready_predictor(model_path, recipe) for recipe in recipes[1:])
    first = ready_predictor(model_path, recipes[0])
    assert ready_predictor(model_path, recipes[0]) is first
    assert ready_predictor(model_path, recipes[2]) is third
    assert ready_predictor(model_path, recipes[1]) is not second


def test_an_error_in_choosing_a_batch_goes_to_those_who_asked():
    def refuse(*_):
        raise MemoryError("too much")

    engine = in_one_thread(lambda tiles: tiles, 1, refuse)
    with ThreadPoolExecutor(2) as threads:
        for answer in [threads.submit(engine, tile(value)) for value in (1, 2)]:
            assert isinstance(answer.exception(10), MemoryError)


def test_an_error_goes_to_those_who_asked():
    slow = Slow()
    engine = in_one_thread(slow, 1, lambda *_: 2)
    answers = ask(engine, slow, [1, -1, 2, 3])
    assert [isinstance(a, MemoryError) for a in answers] == [False, True, True, False]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_numbers_of_a_tile_do_not_depend_on_who_is_beside_it(small_model, precision):
    engine = make_predictor(small_model(), "cpu", precision, None, "none").engine
    tiles = np.random.default_rng(0).random((4, 1, 108, 124), np.float32)
    together = engine(tiles)
    np.testing.assert_array_equal(engine(tiles[::-1].copy())[::-1], together)
    alone = np.zeros_like(tiles)
    alone[0] = tiles[2]
    np.testing.assert_array_equal(engine(alone)[0], together[2])


def test_small_tiles_are_batched_where_that_changes_no_bit(tmp_path, small_model, blobs):
    """With OpenVINO in bfloat16: the same files as one by one."""
    pytest.importorskip("openvino")
    write_model(small_model(), tmp_path / "m.safetensors")
    (tmp_path / "in").mkdir()
    for k in range(12):
        write_image(tmp_path / "in" / f"{k}.png", blobs(k, 40, 40), "YX")
    options = PredictionSettings(
        engine="openvino", precision="bfloat16", save=("labels", "probabilities")
    )
    out = tmp_path / "together"
    assert not predict_files(tmp_path / "m.safetensors", [tmp_path / "in"], out, options).failed
    for k in range(12):
        inputs = [tmp_path / "in" / f"{k}.png"]
        predict_files(tmp_path / "m.safetensors", inputs, tmp_path / "alone", options)
    written = sorted(path.name for path in out.glob("*.tif"))
    assert len(written) == 24
    for name in written:
        assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_a_batch_that_changes_bits_is_seen():
    assert same_bits_in_a_batch(lambda tiles: tiles * 2, 3, (1, 4, 4))
    assert not same_bits_in_a_batch(lambda tiles: tiles * (1 + 1e-7 * len(tiles)), 3, (1, 4, 4))
