"""Public sets of annotated images, and where their makers keep them."""

from dataclasses import dataclass

_CHALLENGE = "https://data.celltrackingchallenge.net/training-datasets"
_CHALLENGE_TERMS = (
    "Cell Tracking Challenge: free to use for research on the challenge's tasks, cite "
    "doi:10.1038/s41592-023-01879-y; the images must not be passed on"
)
_CHALLENGE_NAMES = (
    "BF-C2DL-HSC",
    "BF-C2DL-MuSC",
    "DIC-C2DH-HeLa",
    "Fluo-C2DL-Huh7",
    "Fluo-C2DL-MSC",
    "Fluo-C3DH-A549",
    "Fluo-C3DH-H157",
    "Fluo-C3DL-MDA231",
    "Fluo-N2DH-GOWT1",
    "Fluo-N2DH-SIM+",
    "Fluo-N2DL-HeLa",
    "Fluo-N3DH-CE",
    "Fluo-N3DH-CHO",
    "Fluo-N3DH-SIM+",
    "PhC-C2DH-U373",
    "PhC-C2DL-PSC",
)
_CHALLENGE_SHA256 = {
    "PhC-C2DH-U373": "b18185c18fce54e8eeb93e4bbb9b201d757add9409bbf2283b8114185a11bc9e",
}


@dataclass(frozen=True)
class PublicSet:
    """A zip file at its maker's address; `sha256` is None where nobody has published one."""

    name: str
    url: str
    terms: str
    sha256: str | None = None


PUBLIC_SETS = {
    "isbi2012": PublicSet(
        "isbi2012",
        "https://downloads.imagej.net/ISBI-2012-challenge.zip",
        "ISBI 2012 EM segmentation challenge: non-commercial research on segmentation, cite "
        "doi:10.1371/journal.pbio.1000502 and doi:10.3389/fnana.2015.00142",
    ),
    **{
        name: PublicSet(
            name, f"{_CHALLENGE}/{name}.zip", _CHALLENGE_TERMS, _CHALLENGE_SHA256.get(name)
        )
        for name in _CHALLENGE_NAMES
    },
}
