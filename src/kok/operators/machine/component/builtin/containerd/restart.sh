# Not without need: where systemd reads its units anew, containers may lose their GPUs.
[ "$(systemctl show -p NeedDaemonReload containerd 2>/dev/null)" = NeedDaemonReload=no ] || systemctl daemon-reload
systemctl is-enabled --quiet containerd 2>/dev/null || systemctl enable --quiet containerd
systemctl restart containerd
