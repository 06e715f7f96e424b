"""Is a text unsafe? python3 duoguard.py BUNDLE PROMPT [RESPONSE]

An example of how Python calls the C library, with the standard library alone. The library is found
through DUOGUARD_LIBRARY, the path of libduoguard.so, or else in the system's folders. Exits with 0
when the text is safe, 1 when it is not, 2 when it was not checked.
"""

import ctypes
import ctypes.util
import os
import sys

ABI_VERSION = 1
MESSAGE_SIZE = 1024


class _Error(ctypes.Structure):
    _fields_ = [("message", ctypes.c_char * MESSAGE_SIZE)]


class _Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("threads", ctypes.c_uint32),
        ("engine", ctypes.c_char_p),
    ]


class _Input(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("prompt", ctypes.c_char_p),
        ("prompt_size", ctypes.c_size_t),
        ("response", ctypes.c_char_p),
        ("response_size", ctypes.c_size_t),
        ("language", ctypes.c_char_p),
    ]


class _CheckOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("join", ctypes.c_uint32),
        ("max_tokens", ctypes.c_uint64),
        ("target_fpr", ctypes.c_float),
        ("literal", ctypes.c_uint32),
        ("thresholds", ctypes.POINTER(ctypes.c_float)),
        ("threshold_count", ctypes.c_size_t),
    ]


class Verdict(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("flagged", ctypes.c_uint32),
        ("top_category", ctypes.c_int32),
        ("top_score", ctypes.c_float),
        ("tokens", ctypes.c_uint64),
        ("tokens_scored", ctypes.c_uint64),
        ("windows", ctypes.c_uint32),
        ("language", ctypes.c_char * 40),
        ("span_in_response", ctypes.c_uint32),
        ("span_begin", ctypes.c_uint64),
        ("span_end", ctypes.c_uint64),
        ("coverage_partial", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


def _load():
    path = os.environ.get("DUOGUARD_LIBRARY") or ctypes.util.find_library("duoguard")
    if path is None:
        raise OSError(
            "libduoguard is not in the system's folders: set DUOGUARD_LIBRARY to its path"
        )
    library = ctypes.CDLL(path)
    void, size = ctypes.c_void_p, ctypes.c_size_t
    out, error = ctypes.POINTER(void), ctypes.POINTER(_Error)
    prototypes = {
        "duoguard_abi_version": (ctypes.c_uint32, []),
        "duoguard_model_open": (ctypes.c_int32, [ctypes.c_char_p, out, error]),
        "duoguard_model_free": (None, [void]),
        "duoguard_model_category_count": (size, [void]),
        "duoguard_model_category_name": (ctypes.c_char_p, [void, size]),
        "duoguard_session_new": (ctypes.c_int32, [void, ctypes.POINTER(_Options), out, error]),
        "duoguard_session_free": (None, [void]),
        "duoguard_session_check": (
            ctypes.c_int32,
            [void, ctypes.POINTER(_Input), ctypes.POINTER(_CheckOptions)]
            + [ctypes.POINTER(ctypes.c_float), size, ctypes.POINTER(Verdict), error],
        ),
    }
    for name, (result, arguments) in prototypes.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if library.duoguard_abi_version() != ABI_VERSION:
        found = library.duoguard_abi_version()
        raise OSError(f"{path}: ABI version {found}, expected {ABI_VERSION}")
    return library


class DuoguardError(Exception):
    """A call that failed. Whatever was to be checked was not: do not take it for safe."""


def _require(status, error):
    if status != 0:
        raise DuoguardError(error.message.decode())


class Model:
    """A bundle, opened. Threads may share it."""

    def __init__(self, path):
        self._library, self._handle, error = _load(), ctypes.c_void_p(), _Error()
        status = self._library.duoguard_model_open(
            os.fsencode(path), ctypes.byref(self._handle), ctypes.byref(error)
        )
        _require(status, error)
        count = self._library.duoguard_model_category_count(self._handle)
        names = (self._library.duoguard_model_category_name(self._handle, i) for i in range(count))
        self.categories = [name.decode() for name in names]

    def session(self, engine=None, threads=0):
        return Session(self, engine, threads)

    def __del__(self):
        if getattr(self, "_handle", None):
            self._library.duoguard_model_free(self._handle)


class Session:
    """A model on an engine. One thread at a time may use it; ctypes lets others run meanwhile."""

    def __init__(self, model, engine, threads):
        self._model, self._library = model, model._library
        self._handle, error = ctypes.c_void_p(), _Error()
        options = _Options(ctypes.sizeof(_Options), threads, engine.encode() if engine else None)
        status = self._library.duoguard_session_new(
            model._handle, ctypes.byref(options), ctypes.byref(self._handle), ctypes.byref(error)
        )
        _require(status, error)

    def check(self, prompt, response=None, language=None, max_tokens=0, target_fpr=0.0):
        """The verdict, and the score of every category by its name."""
        prompt, names = prompt.encode(), self._model.categories
        response = None if response is None else response.encode()
        language = None if language is None else language.encode()
        scores, error = (ctypes.c_float * len(names))(), _Error()
        verdict = Verdict(struct_size=ctypes.sizeof(Verdict))
        given = _Input(
            struct_size=ctypes.sizeof(_Input),
            prompt=prompt,
            prompt_size=len(prompt),
            response=response,
            response_size=len(response or b""),
            language=language,
        )
        options = _CheckOptions(
            struct_size=ctypes.sizeof(_CheckOptions),
            max_tokens=max_tokens,
            target_fpr=target_fpr,
        )
        status = self._library.duoguard_session_check(
            self._handle,
            ctypes.byref(given),
            ctypes.byref(options),
            scores,
            len(names),
            ctypes.byref(verdict),
            ctypes.byref(error),
        )
        _require(status, error)
        return verdict, dict(zip(names, scores))

    def __del__(self):
        if getattr(self, "_handle", None):
            self._library.duoguard_session_free(self._handle)


def main(arguments):
    if len(arguments) not in (2, 3):
        print("usage: duoguard.py BUNDLE PROMPT [RESPONSE]", file=sys.stderr)
        return 2
    try:
        verdict, scores = Model(arguments[0]).session().check(*arguments[1:])
    except (DuoguardError, OSError) as error:
        print(f"not checked: {error}", file=sys.stderr)
        return 2
    print("unsafe" if verdict.flagged else "safe")
    for name, score in scores.items():
        print(f"  {score:.3f} {name}")
    return 1 if verdict.flagged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
