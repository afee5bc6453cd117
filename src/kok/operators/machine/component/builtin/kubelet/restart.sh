mkdir -p /etc/kubernetes/kubelet.conf.d
# Not without need: where systemd reads its units anew, containers may lose their GPUs.
[ "$(systemctl show -p NeedDaemonReload kubelet 2>/dev/null)" = NeedDaemonReload=no ] || systemctl daemon-reload
systemctl try-restart kubelet
