mkdir -p /etc/kubernetes/kubelet.conf.d /var/lib/kubelet /usr/local/bin
install -m 0755 "$KOK_ARTIFACT_KUBELET" /usr/local/bin/kubelet.kok-new
mv -f /usr/local/bin/kubelet.kok-new /usr/local/bin/kubelet
reread_units kubelet
# It is started by joining a cluster; only one that runs already is restarted.
systemctl try-restart kubelet
