[ -x /opt/docker/bin/dockerd ] && [ -x /opt/docker/bin/containerd-shim-runc-v2 ] || exit 0
/opt/docker/bin/dockerd --version | sed -n 's/^Docker version \([0-9][^ +~,]*\).*/\1/p'
