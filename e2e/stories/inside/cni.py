"""The network of pods is exchanged for a chart of a user's own, by `kok addons`, before there are nodes.

Nothing else restarts, of the control plane as of what runs inside, and nothing of flannel is left. The first
node that joins then has the other network: pods get addresses of its range, names and Services work. The
chart is a small and real one: the plugins that KOK puts on every host, with a configuration for one node.
"""

from __future__ import annotations

import ipaddress
import tempfile
from dataclasses import dataclass

from e2e.faults.chart_repository import VERSION, ChartRepository, packed, repository
from e2e.fixtures import clusters, etcd, rolling, userfiles, web
from e2e.framework.environment import Environment
from e2e.framework.follow import has, until_gone, until_none_left
from e2e.lab.images.catalog import TOOLBOX
from e2e.polling import eventually
from kok.api import Addon, KubeNode, names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

CLUSTER, WORKER = "toys", "worker-2"
WORKERS = f"{CLUSTER}-workers"
NAME = "one-node"
"""Of the chart, of its Addon, and of the namespace and the DaemonSet inside."""
BEFORE = "flannel"
ADDON, KUBENODE = Addon.info.kind, KubeNode.info.kind
SOON, LONG = 180.0, 900.0
_FLANNEL = (
    "ls -d /etc/cni/net.d/*flannel* /run/flannel 2>/dev/null; ip -o link show type vxlan; true"
)


async def exchanged(w: Environment, namespace: str) -> None:
    """All of it, in a Cluster of its own, with a host of its own; nothing is left at the end."""
    await w.lab.reset(WORKER)
    with w.report.step(f"{CLUSTER}: a Cluster without nodes", "cni_created_s"):
        await clusters.create(w, namespace, CLUSTER)
    async with (
        await w.business(namespace, CLUSTER) as inside,
        repository(w.lab) as charts,
    ):
        charts.add(NAME, chart())
        story = Story(w, namespace, inside, charts)
        await story.exchange()
        await story.node()
        await story.used()
        await story.removed()
    with w.report.step(f"{CLUSTER}: the Cluster is deleted", "cni_deleted_s"):
        await w.kube.delete(clusters.KIND, CLUSTER, namespace)
        await w.gone(clusters.KIND, namespace, CLUSTER, LONG)
    # What a network of one's own wrote to a host is not KOK's to remove.
    await w.lab.reset(WORKER)


@dataclass(frozen=True)
class Story:
    """Where it happens: the lab, the namespace, the business cluster, a repository with the chart."""

    w: Environment
    namespace: str
    inside: Kube
    charts: ChartRepository

    async def exchange(self) -> None:
        """flannel goes and the other one comes, by two commands."""
        before = await self.untouched()
        flannel = await self.objects(names.cluster_addon(CLUSTER, BEFORE))
        if "DaemonSet" not in {one["kind"] for one in flannel}:
            raise AssertionError(f"{BEFORE} was not there: {flannel}")
        with self.w.report.step(f"{CLUSTER}: kok addons remove {BEFORE}", "cni_flannel_gone_s"):
            self.w.report.text(await self.kok("remove", BEFORE, "--yes"))
            await until_none_left(self.inside, flannel, within=SOON)
        with self.w.report.step(f"{CLUSTER}: kok addons install --chart", "cni_chart_s"):
            self.w.report.text(await self.install())
        await self.w.until(ADDON, self.namespace, NAME, has("Ready"), LONG)
        await clusters.at_rest(self.w, self.namespace, CLUSTER)
        after = await self.untouched()
        if after != before:
            changed = sorted(set(before.items()) ^ set(after.items()))
            raise AssertionError(f"the exchange changed more than the network: {changed}")

    async def node(self) -> None:
        """A first host joins, and is Ready by the other network."""
        with self.w.report.step(f"{CLUSTER}: a node joins", "cni_node_s"):
            text = userfiles.first_cluster(
                self.w.lab, WORKER, namespace=self.namespace, cluster=CLUSTER
            )
            _, node = userfiles.documents(text)
            await self.w.apply(
                userfiles.ssh_secret(self.w.lab, WORKER, self.namespace),
                userfiles.checksums(self.w.lab, self.namespace),
                node,
            )
            await self.w.until(KUBENODE, self.namespace, WORKERS, has("Ready"), LONG)
            await self.w.until(ADDON, self.namespace, NAME, up, LONG)

    async def used(self) -> None:
        """Pods have addresses of the node's range, and reach each other by name and Service."""
        kubeconfig = await self.w.kubeconfig(self.namespace, CLUSTER)
        with self.w.report.step(f"{CLUSTER}: pods, a name and a Service", "cni_pods_s"):
            await web.run(self.w, self.inside)

            async def answers() -> bool:
                return await web.asked(self.w, kubeconfig, web.FRIEND) == web.SAYS

            await eventually(answers, SOON, every=0.5, unless=(RuntimeError,))
            node = await self.inside.get(kinds.NODE, WORKER)
            network = ipaddress.ip_network((node or {})["spec"]["podCIDR"])
            for name in (web.NAME, web.FRIEND):
                pod = await self.inside.get(kinds.POD, name, web.SPACE)
                address = ipaddress.ip_address((pod or {})["status"]["podIP"])
                if address not in network:
                    raise AssertionError(f"pod {name} has {address}, which is not of {network}")
            left = await self.w.lab.exec(WORKER, "sh", "-c", _FLANNEL)
            same(left.strip(), "", f"{BEFORE} on {WORKER}")
        await web.stop(self.inside)

    async def removed(self) -> None:
        """The node first: pods leave by the network that they came by."""
        with self.w.report.step(
            f"{CLUSTER}: the node leaves, the network is removed", "cni_gone_s"
        ):
            await self.w.kube.delete(KUBENODE, WORKERS, self.namespace)
            await self.w.gone(KUBENODE, self.namespace, WORKERS, LONG)
            objects = await self.objects(NAME)
            # Of pods on a node that is gone Kubernetes is sure only after a while.
            self.w.report.text(await self.kok("remove", NAME, "--yes", "--timeout", str(SOON)))
            await self.w.gone(ADDON, self.namespace, NAME, SOON)
            await until_none_left(self.inside, objects, within=SOON)
            await until_gone(self.inside, kinds.NAMESPACE, NAME, "", within=SOON)

    # --- what is looked at

    async def untouched(self) -> dict[str, str]:
        """What an exchange leaves alone, each with what is another one after a change or a new start."""
        found: dict[str, str] = {}
        for kind in (kinds.DEPLOYMENT, kinds.STATEFULSET, etcd.KIND):
            for one in await self.w.kube.list(kind, self.namespace):
                found[f"{kind.kind} {one['metadata']['name']}"] = written(one)
        for pod in await self.w.kube.list(kinds.POD, self.namespace):
            found[f"Pod {pod['metadata']['name']}"] = pod["metadata"]["uid"]
        mine = {
            one: said for one, said in found.items() if one.split()[1].startswith(f"{CLUSTER}-")
        }
        if len({one.split()[0] for one in mine}) < 4:
            raise AssertionError(f"there should be more of a control plane than {sorted(mine)}")
        for kind, name in ((kinds.DEPLOYMENT, "coredns"), (kinds.DAEMONSET, "kube-proxy")):
            there = await self.inside.get(kind, name, "kube-system")
            mine[f"{kind.kind} {name} inside"] = written(there or {})
        return mine

    async def objects(self, name: str) -> list[Manifest]:
        """What an Addon has applied."""
        found = await self.w.kube.get(ADDON, name, self.namespace)
        if found is None:
            raise AssertionError(f"there is no Addon {name}")
        return list(found["status"]["inventory"])

    # --- commands

    async def install(self) -> str:
        """`kok addons install --chart`, from a repository whose CA nobody else knows."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.charts.ca.encode())
            file.flush()
            return await self.kok(
                *("install", "--chart", f"{self.charts.url}/{NAME}", "--version", VERSION),
                *("--ca", file.name, "--release-namespace", NAME, "--set", f"image={TOOLBOX}"),
            )

    async def kok(self, command: str, *words: str) -> str:
        """`kok addons` about this Cluster; what it prints."""
        arguments = ("addons", command, CLUSTER, *words, "-n", self.namespace)
        return await rolling.kok(self.w, *arguments)


def written(found: Manifest) -> str:
    """By which one tells whether an object was made or written anew."""
    return f"{found['metadata']['uid']} {found['metadata']['generation']}"


def up(found: Manifest) -> bool:
    """Whether an Addon's pods are there: without nodes it wants none."""
    return has("Ready")(found) and found["status"].get("workloads") == "1/1"


def same(found: object, expected: object, what: str) -> None:
    """Raises `AssertionError` with both, if they differ."""
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, expected {expected!r}")


# --- the chart


def chart() -> bytes:
    """A network of pods for one node, packed."""
    about = f"apiVersion: v2\nname: {NAME}\nversion: {VERSION}\n"
    return packed(
        {
            f"{NAME}/Chart.yaml": about,
            f"{NAME}/values.yaml": "image: \n",
            f"{NAME}/values.schema.json": _SCHEMA,
            f"{NAME}/templates/rights.yaml": _RIGHTS,
            f"{NAME}/templates/config.yaml": _CONFIG,
            f"{NAME}/templates/daemonset.yaml": _DAEMONSET,
        }
    )


_SCHEMA = """\
{"type": "object", "required": ["image"], "properties": {"image": {"type": "string", "minLength": 1}}}
"""
_RIGHTS = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: {{ .Release.Name }}}
rules:
  - {apiGroups: [""], resources: [nodes], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: {{ .Release.Name }}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ .Release.Name }}}
subjects:
  - kind: ServiceAccount
    name: {{ .Release.Name }}
    namespace: {{ .Release.Namespace }}
"""
# The range is in the node's spec as soon as the controller manager has given it one. The token is in no
# command line, and the file appears whole: containerd reads it as soon as it is there.
_CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
data:
  configure.sh: |
    set -eu
    account=/var/run/secrets/kubernetes.io/serviceaccount
    node="https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/nodes/$NODE?pretty=true"
    range=
    while [ -z "$range" ]; do
        range=$(
            printf 'header = "Authorization: Bearer %s"\\n' "$(cat $account/token)" |
                curl -sS -f -m 5 -K - --cacert $account/ca.crt "$node" |
                sed -n 's/^ *"podCIDR": "\\([^"]*\\)".*/\\1/p'
        )
        [ -n "$range" ] || sleep 0.5
    done
    sed "s|RANGE|$range|" /config/conflist >/etc/cni/net.d/20-{{ .Release.Name }}.conflist.new
    mv /etc/cni/net.d/20-{{ .Release.Name }}.conflist.new /etc/cni/net.d/20-{{ .Release.Name }}.conflist
    exec sleep infinity
  conflist: |
    {
      "cniVersion": "1.0.0",
      "name": "{{ .Release.Name }}",
      "plugins": [
        {
          "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
          "hairpinMode": true,
          "ipam": {"type": "host-local", "ranges": [[{"subnet": "RANGE"}]]}
        },
        {"type": "portmap", "capabilities": {"portMappings": true}}
      ]
    }
"""
_DAEMONSET = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      hostNetwork: true
      priorityClassName: system-node-critical
      serviceAccountName: {{ .Release.Name }}
      terminationGracePeriodSeconds: 1
      # A node gets Ready by what runs here.
      tolerations: [{operator: Exists}]
      containers:
        - name: configure
          image: {{ .Values.image | quote }}
          imagePullPolicy: IfNotPresent
          command: [sh, /config/configure.sh]
          env:
            - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
          readinessProbe:
            exec: {command: [test, -s, /etc/cni/net.d/20-{{ .Release.Name }}.conflist]}
            periodSeconds: 1
          resources: {requests: {cpu: 5m, memory: 10Mi}}
          volumeMounts:
            - {name: net, mountPath: /etc/cni/net.d}
            - {name: config, mountPath: /config}
      volumes:
        - {name: net, hostPath: {path: /etc/cni/net.d, type: DirectoryOrCreate}}
        - {name: config, configMap: {name: {{ .Release.Name }}}}
"""
