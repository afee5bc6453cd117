"""`kubectl logs -f` and `kubectl exec`, resumed when they break."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2e.load.lanes import NAMESPACE
from e2e.load.sequence import Gaps, Numbers

POD = "counter"
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done"
PAUSE = 0.2
TELLS = 10


def pod(image: str) -> dict[str, object]:
    """A pod that prints a number five times a second."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": NAMESPACE},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": POD, "image": image, "command": ["sh", "-c", COUNT]}],
        },
    }


class Stream:
    """A kubectl that prints numbers."""

    def __init__(self, kubectl: Path, kubeconfig: Path, *, follows: bool) -> None:
        """Either it follows the pod's log, or it runs the counter itself, which begins anew then."""
        self._follows = follows
        what = ("logs", "-f", POD) if follows else ("exec", POD, "--", "sh", "-c", COUNT)
        self._argv: Sequence[str] = (str(kubectl), "-n", NAMESPACE, *what)
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        self.numbers = Numbers()
        self.gaps = Gaps()
        self.begun = asyncio.Event()
        self.breaks = 0
        self.said: deque[str] = deque(maxlen=TELLS)

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await self._once()
            if self.begun.is_set():
                self.breaks += 1
            await asyncio.sleep(PAUSE)

    async def _once(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *self._argv,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        before = self.numbers.last or 0
        if not self._follows:
            self.numbers.last = None
        try:
            async for line in process.stdout:
                # The last one may be half a number.
                if line.endswith(b"\n"):
                    self._see(int(line), before)
            words = (await process.stderr.read()).decode(errors="replace").strip()
            self.said.append(words.splitlines()[-1][:200] if words else "it ended without a word")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def _see(self, number: int, before: int) -> None:
        # A log is told from its beginning.
        if number > before or not self._follows:
            self.numbers.see(number)
            self.gaps.see(time.monotonic())
            self.begun.set()

    def told(self, now: float) -> dict[str, Any]:
        """As JSON, since the last time it was told."""
        numbers, self.numbers = self.numbers, Numbers(self.numbers.last)
        breaks, self.breaks = self.breaks, 0
        said = list(self.said)
        self.said.clear()
        return {
            "seen": numbers.seen,
            "breaks": breaks,
            "lost": numbers.lost,
            "doubled": numbers.doubled,
            "silence_s": round(self.gaps.lap(now), 2),
            "said": said if breaks else [],
        }
