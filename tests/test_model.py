"""The model file: what goes in comes out, and damage is told in one line."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from biounet.config import FAST, Settings, UNetSettings, merged, validated_settings
from biounet.errors import InputError
from biounet.model import Intensity, ModelFile, network_of, read_model, write_model
from biounet.networks import build_network


def a_model(width: int = 3) -> ModelFile:
    settings = validated_settings(
        merged(FAST.model_dump(), {"network": {"width": width, "depth": 1}})
    )
    torch.manual_seed(0)
    return ModelFile(
        settings=settings,
        weights=build_network(settings.network).state_dict(),
        class_names=("background", "cell"),
        intensity=Intensity((1.5,), (2.5,)),
        provenance={"seed": 3, "score": {"AP": 0.5}},
    )


def test_round_trip(tmp_path: Path) -> None:
    model = a_model()
    write_model(model, tmp_path / "m.safetensors")
    back = read_model(tmp_path / "m.safetensors")
    assert back.settings == model.settings
    assert back.class_names == model.class_names
    assert back.intensity == model.intensity
    assert back.provenance == model.provenance
    assert all(torch.equal(back.weights[k], v) for k, v in model.weights.items())
    image = torch.randn(1, 1, 18, 20)
    torch.testing.assert_close(network_of(back)(image), network_of(model)(image))
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_half_precision_weights_are_read_as_float32(tmp_path: Path) -> None:
    model = a_model()
    halves = {k: v.half() for k, v in model.weights.items()}
    write_model(
        ModelFile(model.settings, halves, model.class_names, model.intensity), tmp_path / "m"
    )
    assert all(v.dtype == torch.float32 for v in read_model(tmp_path / "m").weights.values())


def header(path: Path) -> dict[str, object]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["biounet"])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("missing", "no file"),
        ("empty", "damaged or no safetensors"),
        ("truncated", "damaged or no safetensors"),
        ("text", "damaged or no safetensors"),
        ("foreign", "without biounet's settings"),
        ("newer", "format 99.*format 1 or older.*update biounet"),
        ("fewer tensors", "tensors do not fit"),
        ("other shapes", "tensors do not fit"),
        ("unknown setting", "network.*"),
        ("no json", "damaged"),
        ("folder", "no file"),
    ],
)
def test_damage_is_told(damage: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_model(a_model(), path)
    whole, told_settings = path.read_bytes(), header(path)
    weights = a_model().weights
    match damage:
        case "missing":
            path.unlink()
        case "folder":
            path.unlink()
            path.mkdir()
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        case "text":
            path.write_text("not a model")
        case "foreign":
            save_file(weights, path)
        case "no json":
            save_file(weights, path, {"biounet": "{"})
        case "newer":
            save_file(
                weights, path, {"biounet": json.dumps({**told_settings, "format_version": 99})}
            )
        case "fewer tensors":
            weights.pop("classify.bias")
            save_file(weights, path, {"biounet": json.dumps(told_settings)})
        case "other shapes":
            save_file(a_model(width=4).weights, path, {"biounet": json.dumps(told_settings)})
        case "unknown setting":
            told_settings["settings"]["network"]["wings"] = 2  # type: ignore[index]
            save_file(weights, path, {"biounet": json.dumps(told_settings)})
    with pytest.raises(InputError, match=told):
        read_model(path)


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        write_model(a_model(), blocked / "m.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_settings_survive_yaml(tmp_path: Path) -> None:
    from biounet.config import PAPER, read_settings, write_settings

    for settings in (
        PAPER,
        FAST,
        Settings(network=UNetSettings(depth=2, pooling=((1, 2), (2, 2)))),
    ):
        write_settings(settings, tmp_path / "s.yaml")
        assert read_settings(tmp_path / "s.yaml") == settings
