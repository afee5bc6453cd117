[ -x /usr/local/bin/kubelet ] || exit 0
/usr/local/bin/kubelet --version | sed -n 's/^Kubernetes v//p'
