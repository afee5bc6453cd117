"""A kind for tests of ownership and events."""

from __future__ import annotations

from typing import ClassVar

from kok.api.meta import ApiModel, Kind, KindInfo, ObjectMeta, Resource, Status

THING = Kind("kok.dev", "v1alpha1", "Thing", "things")


class ThingSpec(ApiModel):
    """Nothing to ask for."""


class Thing(Resource):
    """A kind."""

    info: ClassVar[KindInfo] = KindInfo(kind=THING, short_names=(), columns=())
    spec: ThingSpec
    status: Status


def thing(name: str = "t", uid: str = "u-1") -> Thing:
    """A Thing in namespace `ns`."""
    meta = ObjectMeta(name=name, namespace="ns", uid=uid, generation=1)
    return Thing(metadata=meta, spec=ThingSpec(), status=Status())
