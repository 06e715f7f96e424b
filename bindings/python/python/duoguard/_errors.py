"""Why a call failed. A text whose check failed was not checked: do not take it for safe."""


class Error(Exception):
    """A call that failed; `status` is the C library's word for why."""

    status = "UNKNOWN"


class InvalidArgumentError(Error, ValueError):
    """A value that the call cannot take: an unknown engine, a text over the limit."""

    status = "INVALID_ARGUMENT"


class BundleReadError(Error, OSError):
    """A file of the bundle could not be opened or read."""

    status = "IO"


class InvalidModelError(Error, ValueError):
    """The bundle is damaged, or contradicts itself."""

    status = "INVALID_MODEL"


class UnsupportedError(Error, RuntimeError):
    """This build or machine lacks what was asked for."""

    status = "UNSUPPORTED"


class EngineError(Error, RuntimeError):
    """The engine failed while it loaded or ran the network."""

    status = "ENGINE"


class OutOfMemoryError(Error, MemoryError):
    """The system refused the memory for a model's weights."""

    status = "OUT_OF_MEMORY"


class PanicError(Error, RuntimeError):
    """A defect in duoguard."""

    status = "PANIC"
