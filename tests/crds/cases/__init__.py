"""What a user may get wrong, one case for each rule of the API, with the sentence that he gets."""

from __future__ import annotations

from tests.crds.cases.amounts import SIZES
from tests.crds.cases.choices import CHOICES, MANAGED
from tests.crds.cases.fixed import FIXED
from tests.crds.cases.fleets import FLEETS, MANY_ADDONS
from tests.crds.cases.names import HOSTS, LABELLED, NAMES
from tests.crds.cases.network import NETWORK
from tests.crds.cases.stores import STORES
from tests.crds.cases.versions import VERSIONS

CASES = (
    *HOSTS,
    *NAMES,
    *VERSIONS,
    *NETWORK,
    *FIXED,
    *SIZES,
    *MANAGED,
    *CHOICES,
    *LABELLED,
    *STORES,
    *FLEETS,
    *MANY_ADDONS,
)
