"""Engines: the same numbers from every one, checked before use; a choice that is remembered."""

import copy
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from biounet.config import Settings
from biounet.errors import InputError
from biounet.model import Intensity, ModelFile, network_of
from biounet.network_settings import FCNSettings, SlidingWindowSettings, UNetSettings
from biounet.networks import build_network, fold
from biounet.prediction import predictor
from biounet.prediction.engines import choice as engine_choice
from biounet.prediction.engines import onnx_graph as onnx_graphs
from biounet.prediction.engines import parts, take_parts, torch_engine
from biounet.prediction.engines import timing as engine_timing
from biounet.prediction.engines.agreement import (
    Agreement,
    agreement,
    is_equal,
    probe_tile,
    small_probe,
)
from biounet.prediction.engines.choice import choose_engine, usable_threads
from biounet.prediction.engines.onnx_graph import onnx_graph
from biounet.prediction.engines.rounding import measure_rounding, rounding_record
from biounet.prediction.engines.runtimes import NotExpressibleError, onnx_engine, openvino_engine
from biounet.prediction.engines.timing import measure, recall, remember

pytest.importorskip("openvino", reason="needs the extra cpu: OpenVINO")
pytest.importorskip("onnxruntime", reason="needs the extra cpu: ONNX Runtime")

CPU = torch.device("cpu")

NETWORKS = {
    "unet": UNetSettings(width=4, depth=2, channels=2, classes=3),
    "unet, standardised": UNetSettings(width=4, depth=3, normalisation="weight-standardisation"),
    "unet, strided": UNetSettings(width=4, depth=2, classes=3, first_stride=(2, 2)),
    "unet, no pooling": UNetSettings(width=4, depth=0),
    "unet, 3-D, anisotropic": UNetSettings(
        width=4, depth=2, dimensions=3, pooling=((1, 2, 2), (2, 2, 2))
    ),
    "sliding window": SlidingWindowSettings(width=4, neurons=8, stages=2, window_px=15),
    "sliding window, 3-D": SlidingWindowSettings(
        width=4, neurons=8, stages=1, window_px=7, dimensions=3
    ),
    "fcn": FCNSettings(width=4, depth=3, head_px=3, head_width=8),
    "fcn, no pooling": FCNSettings(width=4, depth=0),
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def a_model(settings=NETWORKS["unet"], seed=0) -> ModelFile:
    """Random weights that no layer is zero in, and probabilities far from 1/2."""
    torch.manual_seed(seed)
    network = build_network(settings)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.abs().max():
            torch.nn.init.normal_(parameter, std=0.3)
    weights = network.state_dict()
    last = [name for name in weights if name.endswith("weight")][-1]
    weights[last] = weights[last] * 4
    names = tuple(map(str, range(settings.classes)))
    return ModelFile(Settings(network=settings), weights, names, Intensity((0.0,), (1.0,)))


def in_float64(model: ModelFile, tiles: np.ndarray) -> np.ndarray:
    """The oracle: the network as it was trained, unfolded, in float64."""
    network = network_of(model).double()
    with torch.no_grad():
        return network(torch.from_numpy(tiles).double()).softmax(1).numpy()


def tiles_of(settings, rng, n: int, extra: int) -> np.ndarray:
    output = [step * extra + 2 for step in settings.footprint.step]
    shape = settings.footprint.input_for(output)
    return rng.normal(size=(n, settings.channels, *shape)).astype(np.float32)


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_every_engine_computes_the_network_for_every_tile(settings, rng):
    model = a_model(settings)
    graph = onnx_graph(network_of(model), settings)
    onnx.checker.check_model(graph, full_check=True)
    data = graph.SerializeToString()
    engines = {
        "torch": torch_engine(network_of(model), CPU, "float32"),
        "openvino": openvino_engine(data, "float32", 2),
        "onnx": onnx_engine(data, 2),
    }
    for n, extra in ((1, 1), (2, 3)):
        tiles = tiles_of(settings, rng, n, extra)
        if settings.dimensions == 2:  # another size along each axis
            tiles = tiles[:, :, : -settings.footprint.step[0]]
        expected = in_float64(model, tiles)
        assert expected.std() > 0.01
        for name, engine in engines.items():
            found = engine(tiles)
            assert found.dtype == np.float32
            # float32 carries 7 digits; sums of some thousand terms lose two, and the unfolded
            # network itself is up to 3.4e-5 off
            np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=name)


def test_no_engine_calls_home(tmp_path):
    """OpenVINO's import does, in a process of its own, where its package for that is there."""
    graph = tmp_path / "graph.onnx"
    settings = NETWORKS["unet, no pooling"]
    graph.write_bytes(onnx_graph(network_of(a_model(settings)), settings).SerializeToString())
    code = (
        "import pathlib, sys\n"
        "def watch(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'urllib.Request'):\n"
        "        pathlib.Path(sys.argv[2]).write_text(f'{event} {args}')\n"
        "sys.addaudithook(watch)\n"
        "from biounet.prediction.engines.runtimes import onnx_engine, openvino_engine\n"
        "graph = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "openvino_engine(graph, 'float32', 1), onnx_engine(graph, 1)\n"
    )
    called = tmp_path / "called"
    subprocess.run([sys.executable, "-c", code, graph, called], check=True, timeout=120)
    assert not called.exists(), called.read_text()


LET_GO = {
    "in another thread": "t = threading.Thread(target=engines.clear); t.start(); t.join()",
    "one after another": "del engines[0]; del engines[0]",
}


@pytest.mark.parametrize("let_go", LET_GO.values(), ids=LET_GO)
def test_ctrl_c_after_an_engine_was_let_go(tmp_path, let_go):
    """Signals would go to a stack that OpenVINO had given back: a segmentation fault."""
    settings = NETWORKS["unet, no pooling"]
    graph = onnx_graph(network_of(a_model(settings)), settings).SerializeToString()
    (tmp_path / "graph.onnx").write_bytes(graph)
    code = (
        "import os, pathlib, signal, sys, threading\n"
        "import numpy as np\n"
        "from biounet.prediction.engines.runtimes import openvino_engine\n"
        "graph = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "engines = [openvino_engine(graph, 'float32', 1) for _ in range(2)]\n"
        "for engine in engines:\n"
        "    engine(np.zeros((1, 1, 40, 40), np.float32))\n"
        "del engine\n"
        f"{let_go}\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    child = [sys.executable, "-c", code, tmp_path / "graph.onnx"]
    assert subprocess.run(child, timeout=120).returncode == 130


@pytest.mark.parametrize(
    "settings",
    [
        SlidingWindowSettings(width=4, neurons=8, stages=2, window_px=15, foveation_px=2),
        FCNSettings(width=4, depth=3, head_px=3, head_width=8, upsampling="unpooling"),
    ],
    ids=["foveation", "unpooling"],
)
def test_what_has_no_graph_of_free_size_is_said_and_computed_by_pytorch(settings, rng, tmp_path):
    model = a_model(settings)
    with pytest.raises(NotExpressibleError, match="no counterpart that takes every tile size"):
        onnx_graph(network_of(model), settings)
    tile = settings.footprint.input_for((settings.footprint.step[0] + 1,) * 2)
    with pytest.warns(UserWarning, match=r"openvino cannot be used: .* PyTorch computes instead"):
        chosen = choose_engine(model, CPU, "openvino", "float32", tmp_path / "t.json")
    assert chosen.name == "torch"
    chosen = choose_engine(model, CPU, "auto", "float32", tmp_path / "t.json")
    assert chosen.name == "torch"  # and no warning: nobody asked for another
    tiles = rng.normal(size=(1, 1, *tile)).astype(np.float32)
    np.testing.assert_allclose(chosen.engine(tiles), in_float64(model, tiles), atol=3e-5)


def test_bfloat16_rounds_neither_the_image_nor_the_filters_that_see_it(rng):
    """An edge filter on a bright image: its sum is 0, and bfloat16 keeps 100.3 as 100.5."""
    unet = fold(network_of(a_model(UNetSettings(width=8, depth=1))))
    network = copy.deepcopy(unet.contracting[0].first)
    network.weight.data = network.weight - network.weight.mean((1, 2, 3), keepdim=True)
    unet.contracting[0].first = copy.deepcopy(network)
    tiles = (100 + rng.normal(size=(1, 1, 60, 60))).astype(np.float32)
    exact = torch.nn.functional.conv2d(
        torch.from_numpy(tiles).double(), network.weight.double(), network.bias.double()
    )

    def error(convolve, maps):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return (convolve(torch.from_numpy(maps)) - exact).abs().max() / exact.abs().max()

    assert error(network, tiles) > 0.05
    assert error(take_parts(network), parts(tiles)) < 2**-8  # the rounding of what comes out
    with torch.no_grad():
        expected = copy.deepcopy(unet).double()(torch.from_numpy(tiles).double()).softmax(1)
        with torch.autocast("cpu", torch.bfloat16):
            plain = unet(torch.from_numpy(tiles)).softmax(1)
    engine = torch_engine(unet, CPU, "bfloat16")
    off = np.abs(engine(tiles) - expected.numpy()).mean()
    assert off < 0.3 * np.abs(plain.float().numpy() - expected.numpy()).mean()


def test_openvino_in_bfloat16_is_as_near_as_pytorch(tmp_path):
    settings = UNetSettings(width=8, depth=2)
    chosen = choose_engine(a_model(settings), CPU, "openvino", "bfloat16", tmp_path / "t")
    assert (chosen.name, chosen.precision) == ("openvino", "bfloat16")


def test_an_engine_has_weights_of_its_own(rng):
    """A network stands on the weights of its model file, which may be replaced on the disk."""
    settings = NETWORKS["unet, standardised"]
    model = a_model(settings)
    before = {name: weight.clone() for name, weight in model.weights.items()}
    tiles = tiles_of(settings, rng, 1, 1)
    for precision in ("float32", "bfloat16"):
        engine = torch_engine(network_of(model), CPU, precision)
        onnx_graph(network_of(model), settings)
        expected = engine(tiles)
        assert all(torch.equal(weight, before[name]) for name, weight in model.weights.items())
        for weight in model.weights.values():
            weight.zero_()
        np.testing.assert_array_equal(engine(tiles), expected)
        for name, weight in model.weights.items():
            weight.copy_(before[name])


def test_agreement_by_hand():
    reference = np.array([[[0.9, 0.6, 0.2, 0.4], [0.1, 0.4, 0.8, 0.6]]], np.float32)
    other = np.array([[[0.7, 0.4, 0.2, 0.4], [0.3, 0.6, 0.8, 0.6]]], np.float32)
    found = agreement(other, reference)
    assert found.largest == pytest.approx(0.2)
    assert found.changed == 0.25
    assert str(found) == "probabilities off by up to 0.2, 25.00% other labels"
    assert agreement(reference[:, :, :3], reference) == Agreement(1.0, 1.0)
    assert agreement(np.full_like(reference, np.nan), reference) == Agreement(1.0, 1.0)


@pytest.mark.parametrize(
    ("found", "lost", "equal"),
    [
        (Agreement(9e-4, 0.0), Agreement(0.0, 0.0), True),
        (Agreement(2e-3, 0.0), Agreement(0.0, 0.0), False),
        (Agreement(9e-4, 2e-3), Agreement(0.0, 0.0), False),
        (Agreement(0.02, 0.003), Agreement(0.015, 0.002), True),
        (Agreement(0.04, 0.003), Agreement(0.015, 0.002), False),
    ],
)
def test_an_engine_may_lose_about_what_pytorch_loses_at_its_precision(found, lost, equal):
    assert is_equal(found, lost) is equal


def test_the_probe_is_always_the_same_and_like_an_image():
    settings = UNetSettings(channels=2, depth=1)
    probe = small_probe(settings)
    assert probe.shape == (1, 2, *settings.footprint.input_for((128, 128)))
    np.testing.assert_array_equal(probe, probe_tile(2, probe.shape[2:]))
    np.testing.assert_allclose(probe.mean((2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(probe.std((2, 3)), 1, rtol=1e-4)
    neighbours = np.corrcoef(probe[0, 0, :, 1:].ravel(), probe[0, 0, :, :-1].ravel())[0, 1]
    assert neighbours > 0.9  # exp(-1 / (4 sigma²)) = 0.94


@pytest.fixture
def timings(tmp_path):
    return tmp_path / "cache" / "engines.json"


def wrong(*_):
    """A runtime that gives something else."""
    return lambda tiles: np.zeros((1, 3, *(n - 40 for n in tiles.shape[2:])), np.float32)


def broken(*_):
    raise RuntimeError("Unsupported\n   operation")


@pytest.mark.parametrize("name", ["openvino", "onnx"])
@pytest.mark.parametrize(
    ("impostor", "why"),
    [(wrong, "its numbers are not PyTorch's"), (broken, "Unsupported operation")],
)
def test_an_engine_that_fails_or_lies_is_replaced(name, impostor, why, monkeypatch, timings):
    monkeypatch.setattr(engine_choice, f"{name}_engine", impostor)
    model = a_model()
    with pytest.warns(UserWarning, match=f"{name} cannot be used: .*{why}"):
        chosen = choose_engine(model, CPU, name, "float32", timings)
    assert chosen.name == "torch"
    with pytest.warns(UserWarning, match=f"{name} cannot be used: .*{why}"):
        assert choose_engine(model, CPU, "auto", "float32", timings).name != name
    assert not timings.exists()  # a choice among too few is not remembered


def test_ctrl_c_while_a_runtime_is_imported_stops(monkeypatch, timings):
    """Their own import makes another error of it."""

    def interrupted(*_):
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(engine_choice, "openvino_engine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        choose_engine(a_model(), CPU, "auto", "float32", timings)


def test_one_wrong_pixel_in_a_hundred_is_seen(monkeypatch, timings):
    def slightly_wrong(graph, n_threads):
        right = onnx_engine(graph, n_threads)

        def engine(tiles):
            result = right(tiles)
            result[:, :, ::10, ::10] = np.roll(result[:, :, ::10, ::10], 1, axis=1)
            return result

        return engine

    monkeypatch.setattr(engine_choice, "onnx_engine", slightly_wrong)
    with pytest.warns(UserWarning, match="its numbers are not PyTorch's"):
        choose_engine(a_model(), CPU, "onnx", "float32", timings)


@pytest.mark.parametrize(
    ("name", "package"), [("openvino", "openvino"), ("onnx", "onnxruntime"), ("openvino", "onnx")]
)
def test_a_missing_engine_is_named_with_the_remedy(name, package, monkeypatch, timings):
    find = engine_choice.find_spec
    monkeypatch.setattr(engine_choice, "find_spec", lambda p: None if p == package else find(p))
    model = a_model()
    words = rf"{package} is not installed \(pip install 'biounet\[cpu\]'\); PyTorch computes"
    with pytest.warns(UserWarning, match=words):
        assert choose_engine(model, CPU, name, "auto", timings).name == "torch"
    assert choose_engine(model, CPU, "auto", "float32", timings).name != name


def test_auto_takes_the_fastest_and_remembers(monkeypatch, timings):
    model, calls = a_model(), []

    def fake_measure(engines, probe):
        calls.append((sorted(engines), probe.shape))
        return {"torch": 2.0, "openvino": 3.0, "onnx": 1.0}

    monkeypatch.setattr(engine_choice, "measure", fake_measure)
    monkeypatch.setattr(engine_choice, "usable_threads", lambda: 1)
    for _ in range(2):
        assert choose_engine(model, CPU, "auto", "float32", timings).name == "onnx"
    assert calls == [(["onnx", "openvino", "torch"], small_probe(model.settings.network).shape)]
    monkeypatch.setattr(engine_choice, "usable_threads", lambda: 2)
    choose_engine(model, CPU, "auto", "float32", timings)
    assert len(calls) == 2
    assert len(json.loads(timings.read_text())) == 2


def test_nothing_is_made_or_computed_twice_before_an_engine_is_chosen(monkeypatch, timings):
    """The first block waits for all of it."""
    made = []
    for name in ("torch_engine", "measure"):
        plain = getattr(engine_choice, name)
        counted = lambda *a, name=name, plain=plain: made.append(name) or plain(*a)  # noqa: E731
        monkeypatch.setattr(engine_choice, name, counted)
    graph = onnx_graphs.onnx_graph
    monkeypatch.setattr(onnx_graphs, "onnx_graph", lambda *a: made.append("graph") or graph(*a))
    choose_engine(a_model(), CPU, "auto", "float32", timings)
    assert sorted(made) == ["graph", "measure", "torch_engine"]
    made.clear()
    choose_engine(a_model(), CPU, "torch", "bfloat16", timings)
    assert made == ["torch_engine"]


def test_auto_without_the_extra_is_pytorch_and_measures_nothing(monkeypatch, timings):
    monkeypatch.setattr(engine_choice, "find_spec", lambda _: None)
    monkeypatch.setattr(engine_choice, "measure", None)
    assert choose_engine(a_model(), CPU, "auto", "float32", timings).name == "torch"
    assert not timings.exists()


def test_timings_survive_damage_and_a_folder_that_cannot_be_written(tmp_path):
    file = tmp_path / "engines.json"
    for damaged in ("{", "[]", '{"a": 3}', '{"a": {"torch": "fast"}}'):
        file.write_text(damaged)
        assert recall(file, "a") is None
    remember(file, "a", {"torch": 1.0})
    remember(file, "b", {"torch": 2.0})
    assert recall(file, "a") == {"torch": 1.0}
    assert recall(file, "b") == {"torch": 2.0}
    assert [p.name for p in tmp_path.iterdir()] == ["engines.json"]
    remember(file / "below a file" / "engines.json", "a", {"torch": 1.0})
    assert recall(file, "a") == {"torch": 1.0}


def test_a_hopeless_engine_is_timed_no_further(monkeypatch):
    monkeypatch.setattr(engine_timing, "ENOUGH_S", 100.0)
    clock, calls = [0.0], {"quick": 0, "slow": 0}
    monkeypatch.setattr(engine_timing.time, "perf_counter", lambda: clock[0])

    def takes(name, seconds):
        def engine(_):
            calls[name] += 1
            clock[0] += seconds

        return engine

    tile = np.zeros((1, 1, 4, 4), np.float32)
    seconds = measure({"quick": takes("quick", 1.0), "slow": takes("slow", 2.0)}, tile)
    assert seconds == {"quick": 1.0, "slow": 2.0}
    assert calls == {"quick": engine_timing.N_TIMED, "slow": engine_timing.N_AT_LEAST}


@pytest.mark.parametrize(("scale", "stall"), [(1.0, 14.0), (0.01, 1.4)], ids=["slow", "quick"])
def test_a_stall_of_the_machine_does_not_decide(scale, stall, monkeypatch):
    """Two rounds where a tile takes long, four where not; the last of them is after the stall."""
    clock, calls = [0.0], {"stalled": 0, "steady": 0}
    monkeypatch.setattr(engine_timing.time, "perf_counter", lambda: clock[0])
    n_rounds = 2 if scale == 1.0 else engine_timing.N_TIMED

    def stalled(_):
        calls["stalled"] += 1
        clock[0] += scale * (stall if calls["stalled"] < n_rounds else 1.0)

    def steady(_):
        calls["steady"] += 1
        clock[0] += scale * 1.2

    seconds = measure({"stalled": stalled, "steady": steady}, np.zeros((1, 1, 4, 4), np.float32))
    assert min(seconds, key=seconds.__getitem__) == "stalled"
    assert calls == {"stalled": n_rounds, "steady": n_rounds}


@pytest.mark.parametrize(("changed", "precision"), [(0.0009, "bfloat16"), (0.0011, "float32")])
def test_auto_precision_goes_by_what_changed_on_the_models_own_images(
    changed, precision, monkeypatch, timings
):
    monkeypatch.setattr(engine_choice, "choose_precision", lambda wanted, _: WANTED[wanted])
    record = rounding_record("bfloat16", Agreement(0.1, changed))
    model = replace(a_model(), provenance=record)
    chosen = choose_engine(model, CPU, "torch", "auto", timings)
    assert chosen.precision == precision
    assert choose_engine(model, CPU, "torch", "bfloat16", timings).precision == "bfloat16"


WANTED = {"auto": "bfloat16", "bfloat16": "bfloat16", "float32": "float32"}


def test_auto_precision_measures_the_images_to_come_where_the_model_does_not_tell(
    monkeypatch, timings, rng
):
    """A clear image and one at the edge between two classes, through the same network."""
    monkeypatch.setattr(engine_choice, "choose_precision", lambda wanted, _: WANTED[wanted])
    settings = UNetSettings(width=4, depth=1)
    model = a_model(settings)
    last = [name for name in model.weights if name.endswith("bias")][-1]
    tile = settings.footprint.input_for((64, 64))
    sample = rng.normal(size=(1, 1, *tile)).astype(np.float32)

    def chosen(sample):
        return choose_engine(model, CPU, "torch", "auto", timings, sample).precision

    assert chosen(None) == "float32"
    model.weights[last] = torch.tensor([9.0, -9.0])
    assert measure_rounding(model, CPU, "bfloat16", [sample]).changed == 0
    assert chosen(sample) == "bfloat16"
    scores = network_of(replace(model, weights={**model.weights, last: torch.zeros(2)}))
    with torch.no_grad():
        logits = scores(torch.from_numpy(sample))
    model.weights[last] = torch.tensor([0.0, float((logits[:, 0] - logits[:, 1]).median())])
    model.weights[last.replace("bias", "weight")] *= 1e-4
    model.weights[last] *= 1e-4
    assert measure_rounding(model, CPU, "bfloat16", [sample]).changed > 1e-3
    assert chosen(sample) == "float32"


@pytest.mark.parametrize(
    ("device", "engine", "precision", "words"),
    [
        ("cpu", "tensorflow", "auto", "engine 'tensorflow'; wanted auto, torch, openvino, onnx"),
        ("cpu", "torch", "int8", "precision 'int8'; wanted auto, float32"),
        ("cuda", "openvino", "auto", "openvino on device cuda; .* add --device cpu"),
        ("cpu", "onnx", "bfloat16", "onnx in bfloat16; wanted float32"),
    ],
)
def test_what_does_not_exist_is_refused(device, engine, precision, words, timings):
    with pytest.raises(InputError, match=words):
        choose_engine(a_model(), torch.device(device), engine, precision, timings)


def test_never_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3}, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert usable_threads() == 2
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert usable_threads() == 1


@pytest.mark.parametrize("average", ["none", "d4"])
def test_a_predictor_says_what_it_computes_with(average, monkeypatch, timings, rng):
    monkeypatch.setattr(predictor, "timings_file", lambda: timings)
    model = replace(a_model(UNetSettings(width=4, depth=1)), intensity=Intensity((0.0,), (1.0,)))
    image = rng.normal(size=(1, 50, 70)).astype(np.float32)
    results = []
    for engine in ("torch", "openvino", "onnx"):
        made = predictor.make_predictor(model, "auto", "float32", 44, average, engine)
        assert (made.engine_name, made.precision) == (engine, "float32")
        results.append(predictor.predict_plane(made, image))
    np.testing.assert_allclose(results[1], results[0], atol=3e-5)
    np.testing.assert_allclose(results[2], results[0], atol=3e-5)
    made = predictor.make_predictor(model, "auto", "auto", 44, average, "auto")
    assert made.engine_name in ("torch", "openvino", "onnx")


def test_pytorch_alone_needs_none_of_the_extra(monkeypatch, timings):
    for package in ("openvino", "onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    assert choose_engine(a_model(), CPU, "torch", "float32", timings).name == "torch"


@pytest.mark.parametrize(
    ("engine", "asked", "device"),
    [("openvino", "auto", "cpu"), ("onnx", "auto", "cpu"), ("torch", "auto", "auto")],
)
def test_engines_for_the_cpu_leave_a_gpu_alone(engine, asked, device, monkeypatch, timings):
    wanted = []
    monkeypatch.setattr(predictor, "timings_file", lambda: timings)
    monkeypatch.setattr(predictor, "choose_device", lambda name: wanted.append(name) or CPU)
    predictor.make_predictor(a_model(), asked, "float32", None, "none", engine)
    assert wanted == [device]
