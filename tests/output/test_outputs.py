"""Which folder of this host belongs to which output."""

from pathlib import Path

import pytest

from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.files.location import to_location
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.outputs import Outputs
from nstbatch.runtime.output.remote import RemoteJournal
from nstbatch.runtime.output.shard import Shard
from stores import Store


def test_a_folder_is_its_own_and_a_url_has_a_mirror(memory: Store, tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "cache")
    assert outputs.mirror(tmp_path / "out") == tmp_path / "out"
    mirror = outputs.mirror(to_location(f"{memory.url}/out"))
    assert mirror.is_relative_to(tmp_path / "cache")
    assert mirror == Outputs(tmp_path / "cache").mirror(to_location(f"{memory.url}/out")), "the same in every run"
    assert mirror != outputs.mirror(to_location(f"{memory.url}/other"))
    whole = Shard.parse("1/1")
    assert isinstance(outputs.journal(mirror, whole), RemoteJournal)
    assert type(outputs.journal(tmp_path / "out", whole)) is Journal


def test_a_journal_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    journal = Journal.read(tmp_path).path
    journal.mkdir(parents=True)
    with pytest.raises(UsageError, match=f"{tmp_path}: its journal cannot be read"):
        Outputs(tmp_path / "cache").journal(tmp_path, Shard.parse("1/1"))
