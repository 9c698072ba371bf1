"""Files that the report may write."""

from pathlib import Path

import pytest

from nstbatch.cli.report.page import write_page
from nstbatch.runtime.errors import UsageError


def test_somebody_elses_page_is_left_alone(painted: Path) -> None:
    (painted / "report.html").write_text("<html>mine</html>")
    with pytest.raises(UsageError, match="not a report of nstbatch; move it away"):
        write_page(painted)
    assert (painted / "report.html").read_text() == "<html>mine</html>"
