"""The report on demand."""

import signal
import subprocess
from pathlib import Path

from nstbatch.runtime.output.names import REPORT_FILES
from pages import data_of, get
from process import MAIN, Call
from seams import picture


def test_it_is_rebuilt_from_the_journal(painted: Path, nstbatch: Call) -> None:
    before = data_of((painted / "report.html").read_text())
    (painted / "report.html").unlink()
    for path in (painted / REPORT_FILES).iterdir():
        path.unlink()
    picture(painted / REPORT_FILES / f"{'0' * 24}.jpg")
    done = nstbatch("report", painted)
    assert (done.returncode, done.stdout.strip()) == (0, str(painted / "report.html"))
    after = data_of((painted / "report.html").read_text())
    assert before | {"generated": ""} == after | {"generated": ""}
    assert len(list((painted / REPORT_FILES).iterdir())) == 5, "without the one that nothing shows"
    nowhere = nstbatch("report", painted.parent / "in")
    assert (nowhere.returncode, "is no output folder of nstbatch" in nowhere.stderr) == (2, True)


def test_serve_from_the_command_line(painted: Path, nstbatch: Call) -> None:
    with subprocess.Popen([*MAIN, "serve", painted, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert get(process.stdout.readline().strip(), "status.json")[0] == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert nstbatch("serve", painted.parent / "in").returncode == 2


def test_of_a_folder_of_outputs_each_is_written_and_their_index(painted: Path, nstbatch: Call) -> None:
    (painted / "report.html").unlink()
    done = nstbatch("report", painted.parent)
    assert done.stdout.splitlines() == [str(painted / "report.html"), str(painted.parent / "report.html")]
    assert 'href="./out/report.html"' in (painted.parent / "report.html").read_text()
