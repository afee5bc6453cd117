# The archive holds bin/...; each program is replaced in one piece, also under one that runs.
fresh=/usr/local/.kok-containerd
rm -rf "$fresh"
mkdir -p "$fresh" /usr/local/bin
tar -xzf "$KOK_ARTIFACT_ARCHIVE" -C "$fresh" --no-same-owner
for file in "$fresh"/bin/*; do
    mv -f "$file" /usr/local/bin/
done
rm -rf "$fresh"
# Not without need: where systemd reads its units anew, containers may lose their GPUs.
[ "$(systemctl show -p NeedDaemonReload containerd 2>/dev/null)" = NeedDaemonReload=no ] || systemctl daemon-reload
systemctl is-enabled --quiet containerd 2>/dev/null || systemctl enable --quiet containerd
systemctl restart containerd
