"""The results that the paper prints: its Tables 1 and 2, every row, as printed.

Source: Ronneberger, Fischer, Brox 2015, doi:10.1007/978-3-319-24574-4_28.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """A row: its rank ("" where the paper gives none), its name, and its values as printed."""

    rank: str
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes:
        title: the paper's caption.
        name_column: what it calls the names.
        columns: names of the values.
        measured_on: what the paper's own values were measured on; nobody but the organisers of a
            challenge can measure there.
    """

    title: str
    name_column: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    measured_on: str


TABLE_1 = PaperTable(
    "Table 1. Ranking on the EM segmentation challenge (March 6th, 2015), sorted by warping error",
    "Group name",
    ("Warping Error", "Rand Error", "Pixel Error"),
    (
        PaperRow("", "** human values **", ("0.000005", "0.0021", "0.0010")),
        PaperRow("1.", "u-net", ("0.000353", "0.0382", "0.0611")),
        PaperRow("2.", "DIVE-SCI", ("0.000355", "0.0305", "0.0584")),
        PaperRow("3.", "IDSIA", ("0.000420", "0.0504", "0.0613")),
        PaperRow("4.", "DIVE", ("0.000430", "0.0545", "0.0582")),
        PaperRow("10.", "IDSIA-SCI", ("0.000653", "0.0189", "0.1027")),
    ),
    "the challenge's server, secret labels of its 30 test slices",
)

TABLE_2 = PaperTable(
    "Table 2. Segmentation results (IOU) on the ISBI cell tracking challenge 2015",
    "Name",
    ("PhC-U373", "DIC-HeLa"),
    (
        PaperRow("", "IMCB-SG (2014)", ("0.2669", "0.2935")),
        PaperRow("", "KTH-SE (2014)", ("0.7953", "0.4607")),
        PaperRow("", "HOUS-US (2014)", ("0.5323", "-")),
        PaperRow("", "second-best 2015", ("0.83", "0.46")),
        PaperRow("", "u-net (2015)", ("0.9203", "0.7756")),
    ),
    "the challenge's server, secret labels of its test sequences",
)
