"""Objects of a list, each for itself: one that cannot be read harms nobody but its author."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from kok.api.meta import Manifest, Resource
from kok.api.unreadable import Unreadable

R = TypeVar("R", bound=Resource)
_REMEMBERED: Final = 1024
_told: OrderedDict[str, None] = OrderedDict()
"""What was logged of late: lists are read again and again."""
_log = structlog.stdlib.get_logger("kok.kube")


@dataclass(frozen=True, slots=True)
class Listed(Generic[R]):
    """A list of one kind's objects."""

    objects: tuple[R, ...] = ()
    odd: tuple[Unreadable, ...] = ()
    """Those that cannot be read. Who takes something away because nobody needs it has to count
    each of them as one that does."""


def listed(model: type[R], manifests: Iterable[Manifest]) -> Listed[R]:
    """The objects of a list; what cannot be read is told apart, and logged once."""
    objects: list[R] = []
    odd: list[Unreadable] = []
    for manifest in manifests:
        try:
            objects.append(model.parse(manifest))
        except Unreadable as error:
            odd.append(error)
            _tell(error)
    return Listed(tuple(objects), tuple(odd))


def readable(model: type[R], manifests: Iterable[Manifest]) -> list[R]:
    """The objects of a list that can be read. Only where nothing is taken away for lack of one."""
    return list(listed(model, manifests).objects)


def _tell(odd: Unreadable) -> None:
    text = f"{odd.uid} {odd.message}"
    if text in _told:
        _told.move_to_end(text)
        return
    _told[text] = None
    if len(_told) > _REMEMBERED:
        _told.popitem(last=False)
    _log.warning(
        "object left out", kind=odd.kind, namespace=odd.namespace, name=odd.name, error=odd.why
    )
