"""``nstbatch report`` and ``nstbatch serve``."""

from pathlib import Path

import click

from ...runtime.errors import first_line
from ...runtime.files.cache import cache_dir
from ...runtime.files.location import Location, is_remote
from ..options import LOCATION, PATH, option


@click.command()
@click.argument("output", type=LOCATION)
def report(output: Location) -> None:
    """Write report.html of an output folder anew, from its journal, with all thumbnails.

    \b
      nstbatch report holiday-starry/

    A run writes it by itself, unless -q or --no-report is given. For a folder with several outputs in it, each gets its
    report, and report.html in that folder links to them.
    """
    from ...runtime.output.outputs import Outputs
    from ...runtime.output.remote import RemoteOutput
    from ...runtime.output.shard import Shard
    from ..report.files import is_output
    from ..report.index import rebuild_all
    from ..report.page import CURVES, rebuild

    try:
        if not is_remote(output):
            for page in [rebuild(output)] if is_output(output) else rebuild_all(output):
                click.echo(str(page))
            return
        outputs = Outputs(cache_dir())
        root = outputs.mirror(output)
        journal = outputs.journal(root, Shard()).again(CURVES)
        path = rebuild(root, journal)
        assert isinstance(journal.output, RemoteOutput), "it is behind a URL"
        journal.output.push()
        click.echo(f"{output}/{path.name}")
    except OSError as error:
        raise click.ClickException(f"{output}: {first_line(error)}") from None


@click.command()
@click.argument("output", type=PATH)
@option("--port", type=click.IntRange(0, 65535), default=8765, help="Port on 127.0.0.1; 0 for any that is free.")
def serve(output: Path, port: int) -> None:
    """Serve the report of an output folder to browsers on this host, and keep it up to date while a run adds to it.

    \b
      nstbatch serve holiday-starry/

    It prints the address, which nobody else can guess. From elsewhere: ssh -L 8765:127.0.0.1:8765 HOST, and then the same
    address here. Ctrl-C ends it. Of a folder with several outputs in it, it serves them all.
    """
    from ..report.files import is_output
    from ..report.index import require_outputs
    from ..report.page import read_journal
    from ..report.server import Server

    try:
        if is_output(output):
            read_journal(output)
        else:
            require_outputs(output)
        server = Server(output, port)
    except OSError as error:
        raise click.ClickException(f"port {port}: {first_line(error)}; choose another with --port") from None
    click.echo(server.url)
    with server:
        server.serve_forever()
