mkdir -p /etc/kubernetes/kubelet.conf.d
reread_units kubelet
systemctl try-restart kubelet
