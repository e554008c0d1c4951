"""A reproduction on simulated images: tables, page, going on where it stopped."""

import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from biounet.cli import app
from biounet.errors import InputError
from biounet.images.writing import write_image
from biounet.reproduce import Reproduction, Terms, reproduce
from biounet.reproduce.contest import NETWORKS, Contestant, window_contestant
from biounet.reproduce.paper import TABLE_1, TABLE_2, PaperTable
from biounet.simulate import simulate_cells

pytestmark = pytest.mark.filterwarnings("ignore::biounet.metrics.MetricWarning")

SMALL: dict[str, dict[str, Any]] = {
    "unet": {"width": 2, "depth": 1},
    "sliding-window": {"width": 2, "neurons": 4, "window_px": 5, "stages": 1},
    "fcn": {"width": 2, "depth": 1, "head_px": 1, "head_width": 4},
}
TERMS = Terms(None, "fast", "none", "cpu", {"training": {"steps": 2, "patch_px": 24}})


def networks() -> tuple[Contestant, ...]:
    return tuple(Contestant(n.name, n.title, n.network | SMALL[n.name]) for n in NETWORKS)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biounet.reproduce.run.NETWORKS", networks())


def images(folder: Path, n_images: int, as_mask: bool = False) -> Path:
    rng = np.random.default_rng(0)
    for number in range(n_images):
        image, labels = simulate_cells("nuclei", (40, 44), rng)
        stored = (labels > 0) * np.uint8(255) if as_mask else labels.astype(np.uint16)
        for kind, array in (("images", image), ("labels", stored)):
            path = folder / kind / f"n{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, array, "YX")
    return folder


class Stopper:
    """Records what is done, and stops like Ctrl-C when it comes to `at`."""

    def __init__(self, at: str = "") -> None:
        self.at, self.parts = at, list[str]()

    def __call__(self, part: str, _share: float, _left_s: float | None) -> None:
        if part not in self.parts:
            self.parts.append(part)
        if part == self.at:
            raise KeyboardInterrupt


def check_table(out: Path, paper: PaperTable, columns: Sequence[str]) -> dict[str, Any]:
    """Every row of the paper, ours below, and no measurement said to be the other's."""
    tree: dict[str, Any] = json.loads((out / "table.json").read_text())
    rows = tree["rows"]
    printed = [r for r in rows if r["source"] == "paper"]
    ours = [r for r in rows if r["source"] == "here"]
    assert rows == printed + ours
    assert [(r["rank"], r["name"]) for r in printed] == [(r.rank, r.name) for r in paper.rows]
    for got, row in zip(printed, paper.rows, strict=True):
        expected = [None if v == "-" else float(v) for v in row.values]
        assert [got["values"][c] for c in paper.columns] == expected
    assert {r["measured_on"] for r in printed} == {paper.measured_on}
    assert all(r["rank"] == "" and "server" not in r["measured_on"] for r in ours)
    assert all(r["values"][c] is not None for r in ours for c in columns)
    text = (out / "table.md").read_text()
    page = (out / "report.html").read_text()
    for row in rows:
        assert row["name"].replace("*", "\\*") in text
        assert row["name"] in page
        assert row["measured_on"] in text
    assert "not the same measurement" in " ".join(text.split())
    assert "not the same measurement" in " ".join(page.split())
    return tree


def test_membranes_beside_table_1(tmp_path: Path) -> None:
    data = images(tmp_path / "data", 6, as_mask=True)
    result = reproduce("isbi2012", data, tmp_path / "out", TERMS, windows=[7])
    columns = ("Warping Error", "Rand Error", "Pixel Error", "V_Rand", "V_Info")
    tree = check_table(tmp_path / "out", TABLE_1, columns)
    assert [r["name"] for r in tree["results"]] == ["unet", "sliding-window", "fcn", "window-7"]
    assert [r["window_px"] for r in tree["results"]] == [None, 5, None, 7]
    for each in tree["results"]:
        assert each["steps"] == 2
        assert len(each["seconds"]) == 2
        assert min(each["seconds"]) > 0
        probabilities = tifffile.imread(tmp_path / "out" / each["name"] / "predicted" / "n5.tif")
        assert probabilities.dtype == np.float32
        assert 0 <= probabilities.min() <= probabilities.max() <= 1
    page = result.page.read_text()
    assert page.count("<img") == 2 * (4 + 4)  # each image: truth and three results, twice
    assert "dilemma" in page
    assert page.count("<svg") == 3 + 5  # scores by threshold, scores by window
    assert (tree["training"], tree["scored"]) == (["n0", "n1", "n2", "n3"], ["n4", "n5"])
    v_rand = [r["values"]["V_Rand"] for r in tree["rows"] if r["source"] == "here"]
    assert v_rand == sorted(v_rand, reverse=True)


def test_lungs_show_their_areas(tmp_path: Path) -> None:
    data = images(tmp_path / "data", 4, as_mask=True)
    result = reproduce("lungs", data, tmp_path / "out", TERMS)
    assert "Area in each slice" in result.page.read_text()
    assert result.page.read_text().count("<svg") == 3
    assert {"predicted_px", "true_px"} < result.results[0].images["n3"].keys()


def test_nuclei_show_ap_and_f1_by_iou(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biounet.reproduce.tasks.N_TRAINING_NUCLEI", 3)
    result = reproduce("nuclei", images(tmp_path / "data", 5), tmp_path / "out", TERMS)
    page = result.page.read_text()
    assert page.count("<svg") == 2
    assert "At every threshold" in page
    assert "run&#x27;s rows" in page or "run&#39;s rows" in page
    assert "paper" not in page.split("<h2", 2)[1].split("</h2>")[0]
    tree = json.loads((tmp_path / "out" / "table.json").read_text())
    assert tree["results"][0]["at_thresholds"].keys() == {"iou_thresholds", "ap", "f1"}
    assert [r["source"] for r in tree["rows"]] == ["here"] * 3


def test_u373_is_divided_by_sequence(tmp_path: Path) -> None:
    """Simulated, in the official layout: frames, gold outlines and markers of both sequences."""
    rng = np.random.default_rng(0)
    for sequence in ("01", "02"):
        for number in range(4):
            image, labels = simulate_cells("phase-contrast", (48, 52), rng)
            data = tmp_path / "PhC-C2DH-U373"
            names = {f"{sequence}/t{number:03d}.tif": image}
            if number % 2:
                names[f"{sequence}_GT/SEG/man_seg{number:03d}.tif"] = labels.astype(np.uint16)
            names[f"{sequence}_GT/TRA/man_track{number:03d}.tif"] = labels.astype(np.uint16)
            for name, pixels in names.items():
                (data / name).parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(data / name, pixels, photometric="minisblack")
    reproduce("phc-u373", data, tmp_path / "out", TERMS)
    tree = check_table(tmp_path / "out", TABLE_2, ["PhC-U373"])
    assert tree["training"] == ["01/t001", "01/t003"]
    assert tree["scored"] == ["02/t001", "02/t003"]
    ours = [r for r in tree["rows"] if r["source"] == "here"]
    assert all(r["values"]["DIC-HeLa"] is None for r in ours)
    assert all("sequence 02 (2 gold frames)" in r["measured_on"] for r in ours)
    shutil.rmtree(data / "02_GT")
    with pytest.raises(InputError, match="no annotated frame of sequence 02"):
        reproduce("phc-u373", data, tmp_path / "other", TERMS)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images(tmp_path_factory.mktemp("cells"), 4)


@pytest.fixture(scope="module")
def finished(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reproduction that came to its end."""
    out = tmp_path_factory.mktemp("finished") / "out"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr("biounet.reproduce.run.NETWORKS", networks())
        reproduce("usiigaci", cells, out, TERMS)
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.mark.parametrize("at", ["U-Net: training", "sliding window N4: predicting"])
def test_it_goes_on_where_it_stopped(tmp_path: Path, cells: Path, finished: Path, at: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        reproduce("usiigaci", cells, out, TERMS, on_progress=Stopper(at))
    trained = {p: p.read_bytes() for p in out.rglob("*.safetensors") if "training" not in at}
    assert len(trained) == (0 if "training" in at else 6)  # best, last, checkpoint of two networks
    again = Stopper()
    reproduce("usiigaci", cells, out, TERMS, on_progress=again)
    assert again.parts[0] == f"{at.split(':')[0]}: training"
    assert all(path.read_bytes() == before for path, before in trained.items())
    whole, resumed = (
        json.loads((folder / "table.json").read_text())["results"] for folder in (finished, out)
    )
    assert [r["scores"] for r in resumed] == [r["scores"] for r in whole]


def test_what_is_finished_is_not_done_again(cells: Path, copy: Path) -> None:
    quiet = Stopper()
    reproduce("usiigaci", cells, copy, TERMS, on_progress=quiet)
    assert quiet.parts == []


def test_only_images_that_are_missing_are_predicted(cells: Path, copy: Path) -> None:
    missing, kept = sorted((copy / "unet" / "predicted").glob("*.tif"))
    kept_at, before = kept.stat().st_mtime_ns, missing.read_bytes()
    missing.unlink()
    (copy / "unet" / "result.json").unlink()
    reproduce("usiigaci", cells, copy, TERMS)
    assert kept.stat().st_mtime_ns == kept_at
    assert missing.read_bytes() == before


def test_another_experiment_is_refused(tmp_path: Path, cells: Path, copy: Path) -> None:
    other = Terms(None, "fast", "d4", "cpu", TERMS.said)
    with pytest.raises(InputError, match="another experiment"):
        reproduce("usiigaci", cells, copy, other)
    with pytest.raises(InputError, match="another experiment"):
        reproduce("usiigaci", images(tmp_path / "many", 5), copy, TERMS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="which exists"):
        reproduce("usiigaci", cells, tmp_path / "mine", TERMS)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_wrong_terms_are_told_before_training(tmp_path: Path, cells: Path) -> None:
    for average, device, told in (("twice", "cpu", "average"), ("none", "abacus", "abacus")):
        terms = Terms(None, "fast", average, device, TERMS.said)
        with pytest.raises(InputError, match=told):
            reproduce("usiigaci", cells, tmp_path / "out", terms)
    assert not (tmp_path / "out").exists()


def test_settings_that_one_network_lacks_are_told_before_any_is_trained(
    tmp_path: Path, cells: Path
) -> None:
    said = {**TERMS.said, "network": {"depth": 1}}
    with pytest.raises(InputError, match=r"network.*sliding window N4"):
        reproduce("usiigaci", cells, tmp_path / "out", replace(TERMS, said=said))
    assert not (tmp_path / "out").exists()


def test_budgets_are_equal_and_known() -> None:
    for contestant in NETWORKS:
        said = replace(TERMS, minutes=3, said={}).said_of(contestant)
        assert said == {"network": contestant.network, "training": {"minutes": 3}}
    assert replace(TERMS, minutes=3).training_s == 180
    assert replace(TERMS, said={}).training_s == 600  # the settings' own
    assert replace(TERMS, said={"training": {"minutes": 2}}).training_s == 120
    assert TERMS.training_s is None  # in steps


@pytest.mark.parametrize(
    ("task", "words", "expected"),
    [
        ("isbi2012", [], [5, 15, 31, 63]),
        ("isbi2012", ["--windows", ""], []),
        ("isbi2012", ["--windows", "47, 79"], [47, 79]),
        ("lungs", [], []),
    ],
)
def test_windows_of_every_number_of_stages_for_the_membranes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    words: list[str],
    expected: list[int],
) -> None:
    asked = []

    def stand_in(*given: Any) -> Reproduction:
        asked.append(given[4])
        (tmp_path / "table.md").write_text("")
        return Reproduction(None, tmp_path / "report.html", ())  # type: ignore[arg-type]

    monkeypatch.setattr("biounet.reproduce.reproduce", stand_in)
    command = ["reproduce", task, "--data", "d", "--out", str(tmp_path), *words]
    app(command, exit_on_error=False, result_action="return_value")
    assert asked == [expected]


def test_a_damaged_result_is_told(cells: Path, copy: Path) -> None:
    (copy / "fcn" / "result.json").write_text("{}")
    with pytest.raises(InputError, match=r"result\.json, which is damaged"):
        reproduce("usiigaci", cells, copy, TERMS)


def test_cells_beside_table_2(finished: Path) -> None:
    tree = check_table(finished, TABLE_2, ["Usiigaci (SEG)"])
    ours = [r["values"] for r in tree["rows"] if r["source"] == "here"]
    assert all(v["PhC-U373"] is v["DIC-HeLa"] is None for v in ours)  # another data set


def test_the_command(cells: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reproduce", "usiigaci", "--data", str(cells), "--out", str(copy), "--device", "cpu"]
    same = ["--set", "training.steps=2", "--set", "training.patch_px=24", "--windows", "7"]
    app([*words, *same], exit_on_error=False, result_action="return_value")
    told = capsys.readouterr()
    assert "| u-net (2015) |" in told.out
    assert "sliding window, 7 px, 1 stage (this run)" in told.out
    assert f"report: {copy / 'report.html'}" in told.out
    assert told.err.count("done") == 3  # of the new window alone
    with pytest.raises(InputError, match="--windows"):
        app([*words, "--windows", "wide"], exit_on_error=False, result_action="return_value")


@pytest.mark.parametrize(("side", "stages"), [(95, 4), (63, 4), (31, 3), (39, 3), (15, 2), (5, 1)])
def test_windows_have_as_many_stages_as_they_allow(side: int, stages: int) -> None:
    assert window_contestant(side).network["stages"] == stages


@pytest.mark.parametrize("side", [3, 64, 0])
def test_windows_that_do_not_halve_evenly_are_refused(side: int) -> None:
    with pytest.raises(InputError, match=f"a window of {side} px"):
        window_contestant(side)
