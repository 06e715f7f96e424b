import os
import pathlib
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, TypedDict, final

from typing_extensions import Self, Unpack

__version__: str

class _CheckOptions(TypedDict, total=False):
    join: Literal["space", "newline", "separate"]
    max_tokens: int | None
    target_fpr: float | None
    literal: bool
    thresholds: dict[str, float] | None
    allowed: Iterable[str]

def engines() -> list[tuple[str, bool, str]]: ...
def after_fork_in_child() -> None: ...
def serve(
    path: str | os.PathLike[str],
    *,
    public_key: str | None,
    listen: str,
    policy: str | os.PathLike[str] | None,
    keys: str | os.PathLike[str] | None,
    upstream: str | None,
    upstream_key: str | os.PathLike[str] | None,
    audit: bool,
    fail_open: bool,
) -> None: ...
@final
class Span:
    __match_args__: tuple[str, str, str]
    def __new__(cls, part: Literal["prompt", "response"], start: int, end: int) -> Self: ...
    @property
    def part(self) -> Literal["prompt", "response"]: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Verdict:
    def __new__(
        cls,
        flagged: bool,
        category: str | None,
        scores: dict[str, float],
        language: str,
        tokens: int,
        tokens_scored: int,
        windows: int,
        partial: bool,
        span: Span,
    ) -> Self: ...
    @property
    def flagged(self) -> bool: ...
    @property
    def category(self) -> str | None: ...
    @property
    def score(self) -> float: ...
    @property
    def scores(self) -> dict[str, float]: ...
    @property
    def language(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def tokens_scored(self) -> int: ...
    @property
    def windows(self) -> int: ...
    @property
    def partial(self) -> bool: ...
    @property
    def span(self) -> Span: ...
    def to_dict(self) -> dict[str, Any]: ...
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Batch:
    @property
    def scores(self) -> memoryview: ...
    @property
    def errors(self) -> list[str | None]: ...
    def columns(self) -> dict[str, list[Any]]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Verdict: ...
    def __iter__(self) -> Iterator[Verdict]: ...

@final
class Stream:
    def push(self, piece: str | bytes) -> Verdict | None: ...
    def finish(self) -> Verdict: ...
    @property
    def uses_cache(self) -> bool: ...
    @property
    def text(self) -> str: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class Guard:
    def __new__(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        engine: str | None = None,
        threads: int = 1,
        public_key: str | None = None,
    ) -> Self: ...
    @property
    def path(self) -> pathlib.Path: ...
    @property
    def engine(self) -> str: ...
    @property
    def categories(self) -> list[str]: ...
    def check(
        self,
        text: str,
        response: str | None = None,
        language: str | None = None,
        **options: Unpack[_CheckOptions],
    ) -> Verdict: ...
    def check_batch(
        self,
        texts: Iterable[str | None],
        responses: Iterable[str | None] | None = None,
        language: str | Iterable[str | None] | None = None,
        *,
        threads: int | None = None,
        on_error: Literal["raise", "keep"] = "raise",
        **options: Unpack[_CheckOptions],
    ) -> Batch: ...
    def stream(
        self,
        prompt: str | None = None,
        language: str | None = None,
        *,
        debounce_bytes: int = 256,
        cache: bool = True,
        **options: Unpack[_CheckOptions],
    ) -> Stream: ...
