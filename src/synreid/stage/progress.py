"""Progress with a rate and a time left: a bar on a terminal, plain lines elsewhere, nothing under two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from synreid.stage.log import console, say

QUIET_SECONDS = 2.0
LINE_SECONDS = 30.0


class Bar(Protocol):
    """What `progress` yields."""

    def advance(self, amount: int = 1, **facts: float) -> None:
        """Say that `amount` more units are done; `facts` (a loss, say) are shown beside."""


class _Steps:
    """Counts units and says rate and time left; its children say it in their own way."""

    def __init__(self, title: str, total: int, unit: str, done: int) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.first = done
        self.start = time.monotonic()

    def status(self, facts: dict[str, float]) -> str:
        rate = (self.done - self.first) / max(time.monotonic() - self.start, 1e-9)
        left = max(self.total - self.done, 0) / max(rate, 1e-9)
        shown = "".join(f", {name} {value:.4g}" for name, value in facts.items())
        return f"{rate:.4g} {self.unit}/s, {_duration(left)} left{shown}"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


class _Lines(_Steps):
    """Plain lines, one every half minute."""

    def __init__(self, title: str, total: int, unit: str, done: int) -> None:
        super().__init__(title, total, unit, done)
        self.next_line = self.start + QUIET_SECONDS

    def advance(self, amount: int = 1, **facts: float) -> None:
        self.done += amount
        now = time.monotonic()
        if now >= self.next_line and self.done < self.total:
            self.next_line = now + LINE_SECONDS
            say(f"{self.title}: {self.done} of {self.total} {self.unit}, {self.status(facts)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.seconds > QUIET_SECONDS:
            say(f"{self.title}: {self.done} {self.unit} in {_duration(self.seconds)}")


class _Rich(_Steps):
    """A bar that appears once two seconds have passed."""

    def __init__(self, title: str, total: int, unit: str, done: int) -> None:
        super().__init__(title, total, unit, done)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f}"),
            TextColumn("{task.fields[status]}"),
        )
        self.bar = Progress(*columns, console=console())
        self.task: TaskID | None = None

    def advance(self, amount: int = 1, **facts: float) -> None:
        self.done += amount
        if self.task is None and self.seconds > QUIET_SECONDS:
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=self.total, completed=self.done, status="")
        if self.task is not None:
            self.bar.update(self.task, completed=self.done, status=self.status(facts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.task is not None:
            self.bar.stop()


@contextmanager
def progress(title: str, total: int, unit: str = "pictures", done: int = 0) -> Iterator[Bar]:
    """Show how far `title` is: `total` units in all, `done` of them before now (a resumed stage)."""
    shown = _Rich if console().is_terminal else _Lines
    with shown(title, total, unit, done) as bar:
        yield bar


def _duration(seconds: float) -> str:
    seconds = min(round(seconds), 359_999)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
