"""Errors and exit codes: every error carries the code the process ends with, and says what to do next."""

from enum import IntEnum
from typing import ClassVar


def first_line(error: BaseException) -> str:
    """What an error says, in one line; the name of its class where it says nothing."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.strip().partition("\n")[0].split()) or type(error).__name__


class ExitCode(IntEnum):
    """Exit codes of the command line; frozen, so that a crontab may rely on them."""

    OK = 0
    FATAL = 1
    USAGE = 2
    SOME_FAILED = 3
    PROVIDER = 4
    DEADLINE = 10
    LOCKED = 11
    INTERRUPTED = 130


class NstbatchError(Exception):
    """Base of every error that nstbatch raises on purpose. ``str(error)`` is one line for the user."""

    exit_code: ClassVar[ExitCode] = ExitCode.FATAL


class UsageError(NstbatchError):
    """An option or argument that is not allowed."""

    exit_code = ExitCode.USAGE


class BundleError(NstbatchError):
    """A bundle that is missing, damaged, or of another format version."""


class ExportError(NstbatchError):
    """The exporter could not produce a bundle that equals autograd."""


class WeightsError(NstbatchError):
    """Pretrained weights that are missing, unreadable, or of another network."""

    exit_code = ExitCode.USAGE


class ProviderError(NstbatchError):
    """An execution provider that was asked for by name and cannot be had."""

    exit_code = ExitCode.PROVIDER


class EvaluationError(NstbatchError):
    """A graph that loads but cannot be evaluated."""


class LostWorkerError(EvaluationError):
    """A worker's process has ended."""


class OutOfMemoryError(EvaluationError):
    """The host's or the device's memory is too small for a picture."""


class DiskError(NstbatchError):
    """An output folder that takes no more: a full disk, a quota, a file system that became read-only."""


class LockedError(NstbatchError):
    """Another run writes to the same output folder."""

    exit_code = ExitCode.LOCKED


class ImageError(NstbatchError):
    """A picture that cannot be read, is too small, or cannot be written."""


class StyleError(ImageError):
    """A style, or a picture to start from, that cannot be read: no photo can be painted with it."""

    exit_code = ExitCode.USAGE


class NonFiniteError(NstbatchError):
    """The very first loss or gradient is not finite, and there is no point to go back to; or the result is not."""
