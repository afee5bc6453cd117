systemctl daemon-reload
systemctl enable --quiet cri-dockerd
systemctl restart cri-dockerd
