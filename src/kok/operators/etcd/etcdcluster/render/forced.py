"""The StatefulSet of a member that goes on alone after a majority was lost."""

from __future__ import annotations

import copy
import json

from kok.api.meta import Manifest
from kok.operators.etcd import naming
from kok.operators.etcd.pods import DATA, short


def forced(owner: Manifest, keep: str, image: str) -> Manifest:
    """`owner` with a copy of the data made before etcd starts, and the order to go on alone.

    The copy gets the name `keep` beside the data. It is complete if it has that name: a container
    that is cut off begins anew.
    """
    made = copy.deepcopy(owner)
    template = made["spec"]["template"]
    pod = template["spec"]
    etcd = pod["containers"][0]
    pod["initContainers"] = [
        {
            "name": "copy",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": [
                "sh",
                "-ec",
                f"cd {DATA}; [ -e {keep} ] || {{ rm -rf {keep}.part; cp -a data {keep}.part; "
                f"sync; mv {keep}.part {keep}; }}",
            ],
            # A namespace's quota may demand limits of every container.
            "resources": etcd["resources"],
            "securityContext": etcd["securityContext"],
            "volumeMounts": [{"name": "data", "mountPath": DATA}],
        }
    ]
    etcd["env"] = [*etcd["env"], {"name": "ETCD_FORCE_NEW_CLUSTER", "value": "true"}]
    settings = short(json.dumps(pod, sort_keys=True))
    template["metadata"]["annotations"][naming.ANNOTATION_SETTINGS] = settings
    return made
