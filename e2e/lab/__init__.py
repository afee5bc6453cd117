"""The lab: a real meta cluster and real hosts on one machine.

On the command line::

    python -m e2e.lab up [--meta 1] [--workers 2]    bring it up; a second time changes nothing
    python -m e2e.lab status                         hosts, services, meta cluster
    python -m e2e.lab kubeconfig                     path of the meta cluster's kubeconfig
    python -m e2e.lab down [--purge-cache]           remove it whole
    python -m e2e.lab binary kube-apiserver --version v1.37.1    build if needed, print the path
    python -m e2e.lab binary etcd --version v3.6.10              the same for etcd
    python -m e2e.lab binary promtool                fetched out of Debian's package
    python -m e2e.lab missing                        what has to be built or downloaded first
    python -m e2e.lab image                          build KOK's own image, print its reference
    python -m e2e.lab want --kubernetes v1.36.4 --etcd v3.7.3    build and serve these versions too
    python -m e2e.lab s3                             an S3 server beside registry and artifacts
    python -m e2e.lab prepull IMAGE...               pull images onto the meta hosts
    python -m e2e.lab host add|kill|start|pause|unpause|restart|cut|heal|reset|remove|ssh NAME
                                                     add and reset take --system debian-13

``KOK_LAB`` names the lab (default ``kok``); several live side by side. ``KOK_CACHE`` is where
binaries, images and artifacts are kept (default ``~/.cache/kok``), logs of builds among them in
``logs``; ``XDG_STATE_HOME`` is where a lab's own state lies. ``KOK_LAB_DEBIAN_MIRROR`` names a
Debian mirror other than mmdebstrap's own choice. Programs are downloaded from their projects' sites
where these answer, and built elsewhere; ``KOK_RELEASES_KUBERNETES``, ``_ETCD``, ``_CONTAINERD``,
``_RUNC``, ``_CNI_PLUGINS``, ``_COREDNS`` and ``_HELM`` are other base URLs with the same paths, and a
site that is set to nothing is not asked. Go modules come as the Go environment says.

Every pod of the meta cluster pulls from the lab's registry, whatever registry its image names.
Images there have the names of upstream; beside them are ``docker.io/library/busybox:1.35.0`` and
``kok.dev/lab/toolbox:bookworm`` (a Debian with shell, curl, nslookup, iptables).

In Python everything is asynchronous::

    lab = await Lab.up(meta=1, workers=2)     # or: lab = await Lab.open(), which must be up

    lab.kubeconfig            Path     admin of the meta cluster
    lab.program("kubectl")    Path     a binary at the lab's version; also helm, etcdctl...
    lab.registry              str      "172.29.4.2:5000", plain HTTP, for hosts and machine alike
    lab.mirror                str      "http://172.29.4.2:5000", what a registry mirror is set to
    lab.artifacts_url         str      "http://172.29.4.3"
    lab.artifacts             tuple[Artifact]  name, version, os, arch, path, sha256, size
    lab.host("worker-1")      Host     name, role ("meta" or "worker"), address, container
    lab.ssh("worker-1")       SSH      address, port, user, key (Path), password, host_key, fingerprint

    await lab.hosts() -> list[Host]                             all that were made
    await lab.workers() -> list[Host]                           bare: systemd and sshd, nothing else

    await lab.kubectl("get", "nodes", "-o", "name") -> str      (stdin=..., timeout=...)
    await lab.helm("list") -> str
    await lab.exec("worker-1", "hostname") -> str               as root, not over SSH
    await lab.add_worker() -> Host                              the next free name
    await lab.kill(name)      a host that lost its power; lab.start(name) brings it back
    await lab.pause(name)     a host that hangs; lab.unpause(name)
    await lab.restart(name)   a reboot
    await lab.cut(name)       a host without network; lab.heal(name)
    await lab.reset(name)     the same host, bare again, with a new SSH host key; and
                              lab.reset(name, "debian-13") with another operating system
    await lab.remove(name)
    await lab.want(kubernetes="v1.36.4", etcd=["v3.7.3"])       build and serve further versions
    await lab.want_s3() -> S3     endpoint, access_key, secret_key, region, ca (PEM); buckets and
                                  objects can be made, looked at and damaged
    await lab.want_konnectivity() the images of tunnels into business clusters
    await lab.want_addons()       the images of further built-in addons
    await lab.enforce_policies()  NetworkPolicies hold in the meta cluster, by sigs.k8s.io's
                                  kube-network-policies; lab.ignore_policies() ends it
    await lab.prepull("registry.k8s.io/kube-apiserver:v1.36.4") onto the meta hosts
    await lab.operator_image() -> str    KOK's own image of the checkout, built if it changed,
                                         in the registry and on the meta hosts
    await lab.writes(since) -> Counter   writes that the meta API was asked for, by user agent;
                                         Leases apart. lab.audit(since) lists each of them
"""

from __future__ import annotations

from e2e.lab.cluster.audit import Write
from e2e.lab.cluster.hosts import SSH, Host
from e2e.lab.errors import CommandError, LabError
from e2e.lab.lab import Lab
from e2e.lab.services.artifacts import Artifact
from e2e.lab.services.s3 import S3

__all__ = ["S3", "SSH", "Artifact", "CommandError", "Host", "Lab", "LabError", "Write"]
