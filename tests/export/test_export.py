"""Exported networks: read by other people's tools, which must get our numbers."""

import json
import socket
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from biounet.config import IntensitySettings, ObjectSettings, Settings
from biounet.errors import InputError
from biounet.export import export_model
from biounet.export.bioimageio import export_bioimageio, halo, identifiers
from biounet.export.credits import Citation, Credits, credits_from
from biounet.export.words import documentation
from biounet.model import Intensity, ModelFile, network_of
from biounet.network_settings import FCNSettings, SlidingWindowSettings, UNetSettings
from biounet.networks import build_network
from biounet.prediction.engines import runtimes

onnx = pytest.importorskip("onnx", reason="needs the extra cpu: onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra cpu: ONNX Runtime")


def a_model(network=None, **intensity) -> ModelFile:
    network = network or UNetSettings(width=4, depth=3)
    torch.manual_seed(3)
    built = build_network(network)
    for parameter in built.parameters():
        if parameter.ndim > 1 and not parameter.abs().max():
            torch.nn.init.normal_(parameter, std=0.3)
    weights = built.state_dict()
    last = [name for name in weights if name.endswith("weight")][-1]
    weights[last] = weights[last] * 4
    return ModelFile(
        Settings(network=network, intensity=IntensitySettings(**intensity)),
        weights,
        ("background", "cell", "rim of a cell")[: network.classes],
        Intensity((120.0, 7.0)[: network.channels], (30.0, 2.0)[: network.channels]),
        {"seed": 3, "score": {"AP50": 0.5}},
    )


def in_float64(model: ModelFile, tiles: np.ndarray) -> np.ndarray:
    network = network_of(model).double()
    with torch.no_grad():
        return network(torch.from_numpy(tiles).double()).softmax(1).numpy()


@pytest.fixture
def no_network(monkeypatch):
    """Any connection fails the test."""

    def refuse(*_):
        raise AssertionError("a connection to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_onnx_takes_every_legal_size_and_says_what_it_is(tmp_path):
    model = a_model(UNetSettings(width=4, depth=2, channels=2, classes=3))
    path = export_model(model, "onnx", tmp_path / "new folder" / "net")
    assert path == tmp_path / "new folder" / "net.onnx"
    assert [p.name for p in path.parent.iterdir()] == ["net.onnx"]
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", 17)]
    texts = {p.key: json.loads(p.value) for p in graph.metadata_props}
    assert texts["classes"] == ["background", "cell", "rim of a cell"]
    assert texts["footprint"] == {"margin": [20, 20], "step": [4, 4], "smallest": [44, 44]}
    assert texts["intensity"] == {
        "source": "image",
        "method": "mean-std",
        "offset": [120.0, 7.0],
        "scale": [30.0, 2.0],
    }
    assert texts["provenance"]["seed"] == 3
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [node.shape for node in session.get_inputs()] == [["n", 2, "y", "x"]]
    rng = np.random.default_rng(0)
    for shape in ((1, 2, 44, 44), (3, 2, 52, 48), (1, 2, 100, 44)):
        tiles = rng.normal(size=shape).astype(np.float32)
        (found,) = session.run(["probabilities"], {"image": tiles})
        assert found.shape == (shape[0], 3, shape[2] - 40, shape[3] - 40)
        np.testing.assert_allclose(found, in_float64(model, tiles), atol=1e-5)


def test_onnx_that_gives_other_numbers_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "biounet.export.onnx.onnx_engine",
        lambda *a: lambda tiles: runtimes.onnx_engine(*a)(tiles) * 0.99,
    )
    with pytest.raises(InputError, match="other numbers from ONNX Runtime than from PyTorch"):
        export_model(a_model(), "onnx", tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "bioimageio"])
def test_a_network_without_such_a_graph_is_refused(format, tmp_path):  # noqa: A002
    network = FCNSettings(width=4, depth=2, head_px=3, head_width=4, upsampling="unpooling")
    with pytest.raises(InputError, match="a network that ONNX cannot hold"):
        export_model(a_model(network), format, tmp_path / "net")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("format", "name", "words"),
    [
        ("tensorflow", "net", "format 'tensorflow'; wanted onnx or bioimageio"),
        ("onnx", "net.zip", r"net.zip for format onnx; wanted a name in \*.onnx"),
        ("bioimageio", "there.zip", "there.zip, which is a folder"),
        ("onnx", "a file/net", "(no folder|an error of the system)"),
    ],
)
def test_a_wrong_request_is_told(format, name, words, tmp_path):  # noqa: A002
    (tmp_path / "there.zip").mkdir()
    (tmp_path / "a file").write_text("")
    with pytest.raises(InputError, match=words):
        export_model(a_model(), format, tmp_path / name)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("biounet.export.onnx.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"no onnx; .* pip install 'biounet\[cpu\]'"):
        export_model(a_model(), "onnx", tmp_path / "net")


def test_the_paper_s_tiles():
    """Tiles of 204 + 16 n px; 16 + 16 n px are left: the grid of the poolings."""
    footprint = UNetSettings().footprint
    assert footprint.smallest_tile == (204, 204)
    assert halo(footprint) == (94, 94)
    assert (204 - 2 * 94) % 16 == 0
    assert halo(UNetSettings(depth=2).footprint) == (20, 20)  # 44 - 40 is the step already
    anisotropic = UNetSettings(dimensions=3, depth=2, pooling=((1, 2, 2), (2, 2, 2))).footprint
    for size, width, step, margin in zip(
        anisotropic.smallest_tile,
        halo(anisotropic),
        anisotropic.step,
        anisotropic.margin,
        strict=True,
    ):
        assert (size - 2 * width) % step == 0
        assert size > 2 * width >= 2 * margin


def test_identifiers():
    assert identifiers(["cell", "rim of a cell", "2nd", "cell"]) == [
        "cell",
        "rim_of_a_cell",
        "_2nd",
        "cell_3",
    ]


def test_bioimageio_declares_grey_values_tiles_and_credits(tmp_path):
    model = a_model(UNetSettings(width=4, depth=4, channels=2))
    cite = (Citation("Ada 2026", doi="10.1234/cells.7"),)
    credits = Credits("Cells: 2/3 (new)", ("Ada", "Grace"), "CC0-1.0", cite)  # noqa: A001
    path = export_bioimageio(model, tmp_path / "m.zip", credits)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        rdf = yaml.safe_load(archive.read("bioimageio.yaml"))
        grey = np.load(archive.open("test_input.npy"))
        assert "# Cells: 2/3 (new)" in archive.read("README.md").decode()
        assert "By Ada, Grace; licence CC0-1.0." in archive.read("README.md").decode()
        assert "- Ada 2026, doi:10.1234/cells.7" in archive.read("README.md").decode()
        assert "n - 184 px" in archive.read("README.md").decode()
        assert archive.read("cover.png")[1:4] == b"PNG"
    assert rdf["name"] == "Cells 23 (new)"
    assert rdf["authors"] == [{"name": "Ada"}, {"name": "Grace"}]
    assert rdf["license"] == "CC0-1.0"
    dois = [each["doi"] for each in rdf["cite"]]
    assert dois == ["10.1234/cells.7", "10.1007/978-3-319-24574-4_28"]
    (image,), (probabilities,) = rdf["inputs"], rdf["outputs"]
    for axis in image["axes"][2:]:
        assert axis["size"] == {"min": 204, "step": 16}
    for axis in probabilities["axes"][2:]:
        assert axis["size"] == {"tensor_id": "image", "axis_id": axis["id"]}
        assert axis["halo"] == 94
    assert image["preprocessing"][-1] == {
        "id": "zero_mean_unit_variance",
        "kwargs": {"axes": ["y", "x"], "eps": 1e-6},
    }
    assert rdf["weights"]["onnx"]["opset_version"] == 17
    assert list(rdf["weights"]) == ["onnx"]
    assert grey.shape[1] == 2
    assert not np.array_equal(grey[0, 0], grey[0, 1])
    again = export_bioimageio(model, tmp_path / "again.zip", credits)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ({"threshold": 0.75, "minimum_size_px": 30, "grow_px": 2}, ("0.25", "30 px", "2 layers")),
        ({"grow_px": 7, "grow_threshold": 0.625}, ("by 7 layers", "at most 0.375", "Holes")),
        ({"method": "agglomeration", "merge_threshold": 0.55}, ("below 0.55", "below 0.5")),
        ({"method": "classes"}, ("most probable",)),
    ],
)
def test_how_labels_are_made_is_told_in_full(objects, told):
    model = a_model()
    settings = model.settings.model_copy(update={"objects": ObjectSettings(**objects)})
    words = documentation(replace(model, settings=settings), Credits())
    part = words.partition("## From probabilities to objects")[2].partition("##")[0]
    assert all(each in part for each in told), part


def test_bioimageio_has_no_words_for_percentiles(tmp_path):
    with pytest.raises(InputError, match=r"percentiles; .* intensity\.source=training-set"):
        export_model(a_model(method="percentiles"), "bioimageio", tmp_path / "m")
    assert not list(tmp_path.iterdir())
    export_model(a_model(method="percentiles", source="training-set"), "bioimageio", tmp_path / "m")


@pytest.mark.parametrize(
    ("typed", "text", "doi", "url"),
    [
        ("Ada 2026, 10.1234/cells.7", "Ada 2026", "10.1234/cells.7", None),
        ("Ada (2026). https://doi.org/10.1234/a-b.", "Ada (2026).", "10.1234/a-b", None),
        ("10.1234/x", "The publication of this model", "10.1234/x", None),
        ("Our data: https://cells.org/data", "Our data", None, "https://cells.org/data"),
    ],
)
def test_citations_as_people_type_them(typed, text, doi, url):
    (cite,) = credits_from(None, (), None, (typed,)).cite
    assert cite == Citation(text, doi, url)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"name": "a b"}, "the name 'a b'; wanted one of 5 letters"),
        ({"authors": ("Ada/Grace",)}, "the author 'Ada/Grace'"),
        ({"authors": (" ",)}, "the author ' '"),
        ({"licence": "free to use"}, "an SPDX identifier, such as CC-BY-4.0"),
        ({"cite": ("Ada 2026",)}, "words with a DOI or an address"),
    ],
)
def test_credits_that_lead_nowhere_are_refused(said, words):
    given = {"name": None, "authors": (), "licence": None, "cite": (), **said}
    with pytest.raises(InputError, match=words):
        credits_from(**given)
    assert credits_from(None, (), None, ()) == Credits()


def test_onnx_has_no_place_for_credits(tmp_path):
    with pytest.raises(InputError, match="for format onnx"):
        export_model(a_model(), "onnx", tmp_path / "net", Credits())


MODELS = {
    "2-D": a_model(),
    "training set's grey values": a_model(
        UNetSettings(width=4, depth=2, channels=2, classes=3), source="training-set"
    ),
    "RGB": a_model(UNetSettings(width=4, depth=2, channels=3)),
    "3-D": a_model(
        UNetSettings(width=4, depth=2, dimensions=3, pooling=((1, 2, 2), (2, 2, 2))),
    ),
    "sliding window": a_model(SlidingWindowSettings(width=4, neurons=8, stages=2, window_px=15)),
    "fcn": a_model(FCNSettings(width=4, depth=2, head_px=3, head_width=8)),
}


@pytest.fixture
def validator(monkeypatch, tmp_path, request):
    """The official validator, without a network."""
    request.getfixturevalue("no_network")
    pytest.importorskip("bioimageio.core", reason="needs the extra bioimageio")
    from bioimageio.spec import settings

    monkeypatch.setattr(settings, "cache_path", tmp_path / "cache")
    import bioimageio.core

    return bioimageio.core


@pytest.mark.filterwarnings("ignore")  # of the validator: it leaves its files open
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_official_validator_is_content(model, validator, tmp_path):
    cite = ("Ada 2026, 10.1234/cells", "Data, https://cells.org")
    credits = credits_from("Cells of Ada", ("Ada", "Grace"), "MIT", cite)  # noqa: A001
    path = export_model(model, "bioimageio", tmp_path / "model", credits)
    summary = validator.test_description(path, weight_format="onnx", determinism="full")
    assert summary.status == "passed", summary.format()
    # and it did run the network: a test tensor that is off is found out
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(broken, "w") as copy:
        rdf = yaml.safe_load(archive.read("bioimageio.yaml"))
        for name in archive.namelist():
            if name == "test_output.npy":
                output = np.load(archive.open(name))
                with copy.open(name, "w") as file:
                    np.save(file, output[:, ::-1])
            elif name != "bioimageio.yaml":
                copy.writestr(name, archive.read(name))
        del rdf["outputs"][0]["test_tensor"]["sha256"]
        copy.writestr("bioimageio.yaml", yaml.safe_dump(rdf))
    summary = validator.test_description(broken, weight_format="onnx")
    assert summary.status != "passed"


@pytest.mark.filterwarnings("ignore")
def test_the_tools_tile_without_seams(validator, tmp_path):
    """Blocks of the official library, stitched by it: our numbers for the whole, at any size."""
    from bioimageio.core.sample import Sample
    from bioimageio.core.tensor import Tensor

    network = UNetSettings(width=4, depth=3)
    model = replace(a_model(network), provenance={})
    path = export_model(model, "bioimageio", tmp_path / "model")
    rng = np.random.default_rng(1)
    image = (100 + 20 * rng.normal(size=(1, 1, 208, 256))).astype(np.float32)
    (width, _), (margin, _) = halo(network.footprint), network.footprint.margin
    normal = (image - image.mean()) / image.std()
    tile = network.footprint.input_for((208 + 8, 256 + 8))
    around = [(0, 0), (0, 0), *((width, t - n - width) for t, n in zip(tile, (208, 256)))]  # noqa: B905
    whole = in_float64(model, np.pad(normal, around, "symmetric"))
    begin = width - margin
    whole = whole[:, :, begin : begin + 208, begin : begin + 256]
    with validator.create_prediction_pipeline(
        validator.load_model_description(path), weight_format="onnx"
    ) as pipeline:
        for n in (0, 1, 5):
            sample = Sample(
                members={"image": Tensor.from_numpy(image, dims=("batch", "channel", "y", "x"))},
                stat={},
                id="image",
            )
            found = pipeline.predict_sample_with_blocking(sample, ns=n)
            stitched = found.members["probabilities"].to_numpy()
            np.testing.assert_allclose(stitched, whole, atol=1e-5)
