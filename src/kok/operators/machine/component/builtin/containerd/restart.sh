systemctl daemon-reload
systemctl enable --quiet containerd
systemctl restart containerd
