"""How fast foreign texts are redacted and foreign JSON is read, and whether that stays so with size."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass

from e2e.bench.figure import Figure, figure
from kok.kube.budget.limits import META, weight
from kok.kube.decoding.nesting import parse
from kok.kube.decoding.truncation import MARK, truncated
from kok.kube.lists.pages import is_object
from kok.runtime.redact import MOST, redact, redact_text

ROUNDS = 7
AT_LEAST = 0.2
"""Seconds of processor time that one value is measured for at least."""
LINEAR = 1.5
"""Times as long for a byte of the larger size as for one of the smaller: more would be a power."""
KB, KIB, MIB = 1000, 2**10, 2**20
PER_ENTRY = MOST - 384
"""Characters of one entry of a log line: of longer ones the rest is not looked at."""

LOG = (
    "E1126 10:11:12.345678 1 controller.go:114] loading OpenAPI spec for v1beta1.metrics.k8s.io "
    "failed with: Error, could not get list of group versions for APIService https://192.0.2.1:443\n"
)
NEARLY = (
    *("-----BEGIN RSA PRIVATE KEY----", "authorization: ", "bearer ", "eyJabcdefgh.", "token="),
    *("LS0tLS1CRUdJTi", "https://a:", "password: '", "abcdef.0123456789abcde "),
)
"""Beginnings of secrets that are none: expressions that go back over them would take ever longer."""


@dataclass(frozen=True, slots=True)
class Work:
    """Something that is done to a text, at sizes from the smaller to the larger one."""

    name: str
    sizes: Sequence[int]
    made: Callable[[int], object]
    """What it is done to, of about as many bytes."""
    done: Callable[[object], object]
    note: str


def entries(pattern: str) -> Callable[[int], object]:
    """A log line of as many entries as hold that many characters of a repeated text."""

    def made(size: int) -> object:
        texts = [_repeated(pattern, min(PER_ENTRY, size - at)) for at in range(0, size, PER_ENTRY)]
        return {f"entry {number}": text for number, text in enumerate(texts)}

    return made


def _repeated(pattern: str, size: int) -> str:
    return (pattern * (size // len(pattern) + 1))[:size]


def objects(size: int) -> bytes:
    """A page of ordinary objects, as an API server writes it."""
    one = json.dumps(_pod(0)).encode()
    items = [_pod(number) for number in range(max(1, size // (len(one) + 3)))]
    return json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()


def _pod(number: int) -> dict[str, object]:
    labels = {"app": f"web-{number % 7}", "pod-template-hash": f"{number:010x}"}
    meta = {"name": f"web-{number}", "namespace": "shop", "uid": f"{number}", "labels": labels}
    container = {"name": "web", "image": "registry.k8s.io/web:1", "args": ["--port=80", "-v=2"]}
    return {"metadata": meta, "spec": {"containers": [container], "nodeName": f"n{number % 50}"}}


def deep(size: int) -> bytes:
    """A page of objects, one of which no parser bears: it is cut before it is parsed."""
    levels = size // 2 // len(b'{"a":}')
    spec = b'{"a":' * levels + b"1" + b"}" * levels
    last = b',{"metadata":{"name":"n"},"spec":' + spec + b"}]}"
    return objects(size // 2).removesuffix(b"]}") + last


def many(size: int) -> bytes:
    """One object with more values than are kept of one."""
    values = b",".join([b"{}"] * (size // len(b"{},")))
    return b'{"metadata":{"name":"n"},"spec":{"values":[' + values + b"]}}"


def cut(raw: object) -> None:
    """What is done to such an object before it is parsed."""
    if not isinstance(raw, bytes) or MARK not in parse(_at_once(truncated(raw))):
        raise AssertionError("what is measured has too many values")


def _at_once(work: Coroutine[object, None, bytes]) -> bytes:
    """What it ends with; it waits for nothing but others' turns."""
    try:
        while True:
            work.send(None)
    except StopIteration as end:
        return bytes(end.value)


def read(raw: object) -> None:
    """What is done to a page of a list between its last byte and whoever asked."""
    if not isinstance(raw, bytes) or weight(raw) > META.weight:
        raise AssertionError("what is measured is within the limits")
    if not all(map(is_object, parse(raw)["items"])):
        raise AssertionError("what is measured are objects")


WORKS = (
    Work("redact-line", (60 * KB, 600 * KB), entries(LOG), redact, "a log line of ordinary texts"),
    Work(
        "redact-hostile",
        (60 * KB, 600 * KB),
        entries("".join(NEARLY)),
        redact,
        "a log line full of what nearly is a secret",
    ),
    Work(
        "redact-text",
        (2 * KB, 16 * KB),
        lambda size: _repeated("".join(NEARLY), size),
        lambda text: redact_text(str(text)),
        "one such text",
    ),
    Work(
        "read-list",
        (MIB // 4, 2 * MIB),
        objects,
        read,
        "weighed, parsed, judged: a page of a list",
    ),
    Work("read-deep", (100 * KB, 1000 * KB), deep, read, "half of it nested too deep for a parser"),
    Work("cut", (130 * KB, 1300 * KB), many, cut, "an object of too many values is made smaller"),
)


async def texts() -> AsyncIterator[Figure]:
    """Redaction and bounded answers: megabytes a second, and time per byte at two sizes."""
    for work in WORKS:
        for found in _measured(work):
            yield found


def _measured(work: Work) -> Iterator[Figure]:
    rounds = [[_seconds_per_byte(work, size) for size in work.sizes] for _ in range(ROUNDS)]
    for size, values in zip(work.sizes, zip(*rounds, strict=True), strict=True):
        speeds = [1 / value / 1e6 for value in values]
        yield figure(f"{work.name}-{_called(size)}", speeds, "MB/s", note=work.note)
    ratios = [values[-1] / values[0] for values in rounds]
    small, large = map(_called, (work.sizes[0], work.sizes[-1]))
    note = f"time per byte of {large} to that of {small}"
    yield figure(f"{work.name}-ratio", ratios, "x", LINEAR, note=note)


def _called(size: int) -> str:
    if size % KIB:
        return f"{size // KB}KB"
    return f"{size // KIB}KiB" if size % MIB else f"{size // MIB}MiB"


def _seconds_per_byte(work: Work, size: int) -> float:
    """Of processor time, since others may use the machine as well."""
    what = work.made(size)
    length = len(what) if isinstance(what, bytes | str) else size
    times = 0
    begin = time.process_time()
    while (took := time.process_time() - begin) < AT_LEAST:
        work.done(what)
        times += 1
    return took / times / length
