"""Pages to look at, from what runs leave behind: HTML in one file each.

| to do | call |
|---|---|
| the page about a training run | `write_report` |
"""

from biounet.report.run_report import write_report

__all__ = ["write_report"]
