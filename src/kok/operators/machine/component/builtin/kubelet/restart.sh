mkdir -p /etc/kubernetes/kubelet.conf.d
systemctl daemon-reload
systemctl try-restart kubelet
