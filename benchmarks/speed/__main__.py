"""How fast biounet is on this machine, beside plain PyTorch, other tools, and the arithmetic peak.

    python benchmarks/speed [PIECE…] [--quick] [--add]

Pieces: peak image averaging training-paper training-fast large start-up small rounding gpu, and
memory-SIDE for 2048, 4096, 8192 and 16384 px.
Each writes its part of `benchmarks/results/<machine>.json` as soon as it is measured; then the
table and the picture of docs/performance.md are made from that file. Run it on a machine that does
nothing else; what others used of it meanwhile stands in the file.
"""

import argparse
import json
import platform
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measures
import picture
import psutil
import table
import torch

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Measure what is asked, write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pieces", nargs="*", metavar="PIECE", help="all, if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller images")
    parser.add_argument("--add", action="store_true", help="add rounds to those of an earlier call")
    parser.add_argument("--rounds", type=int, help="in place of each piece's own number")
    parser.add_argument("--model", type=Path, action="append", default=[], help="for rounding")
    parser.add_argument("--image", type=Path, action="append", default=[], help="one a model")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-peers", help="environment")
    parser.add_argument("--file", type=Path, help="results, in place of the machine's own file")
    arguments = parser.parse_args()
    unknown = set(arguments.pieces) - set(measures.PIECES)
    if unknown:
        parser.error(f"no piece {sorted(unknown)[0]}; there are {', '.join(measures.PIECES)}")
    name = f"{machine_name()}{'-quick' if arguments.quick else ''}.json"
    file = arguments.file or RESULTS / name
    results = json.loads(file.read_text()) if file.exists() else {}
    results["machine"] = machine()
    for piece in arguments.pieces or measures.PIECES:
        asked = measures.Asked(
            quick=arguments.quick,
            rounds=arguments.rounds,
            models=tuple(arguments.model),
            images=tuple(arguments.image),
            peers=arguments.peers,
            before=results.get(piece) if arguments.add else None,
        )
        began = time.monotonic()
        found = measures.PIECES[piece](asked)
        if found is not None:
            took_s = round(time.monotonic() - began)
            results[piece] = {**found, "date": f"{datetime.now(UTC):%Y-%m-%d}", "took_s": took_s}
            write(results, file)
            print(json.dumps({piece: found}), flush=True)
    print(table.markdown(results))
    if not arguments.quick and arguments.file is None:
        if table.has_picture(results):
            picture.draw(results, ROOT / "docs" / "images" / "roofline.png")
        table.write_page(results, ROOT / "docs" / "performance.md")


def write(results: dict[str, Any], file: Path) -> None:
    """Write the results, whole."""
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_name(f".tmp-{file.name}")
    temporary.write_text(json.dumps(results, indent=1) + "\n")
    temporary.replace(file)


def machine() -> dict[str, Any]:
    """What it is, without its name."""
    return {
        "processor": processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "native_bfloat16": torch.cpu.get_capabilities().get("avx512_bf16", False),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """The processor's name."""
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def machine_name() -> str:
    """A file name for this kind of machine."""
    words = re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")
    return f"{words}-{psutil.cpu_count()}-cores"


if __name__ == "__main__":
    main()
