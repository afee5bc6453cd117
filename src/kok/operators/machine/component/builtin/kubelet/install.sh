mkdir -p /etc/kubernetes/kubelet.conf.d /var/lib/kubelet /usr/local/bin
install -m 0755 "$KOK_ARTIFACT_KUBELET" /usr/local/bin/kubelet.kok-new
mv -f /usr/local/bin/kubelet.kok-new /usr/local/bin/kubelet
# Not without need: where systemd reads its units anew, containers may lose their GPUs.
[ "$(systemctl show -p NeedDaemonReload kubelet 2>/dev/null)" = NeedDaemonReload=no ] || systemctl daemon-reload
# It is started by joining a cluster; only one that runs already is restarted.
systemctl try-restart kubelet
