# The archive holds cri-dockerd/cri-dockerd.
mkdir -p /usr/local/bin
tar -xzf "$KOK_ARTIFACT_ARCHIVE" -O cri-dockerd/cri-dockerd >/usr/local/bin/cri-dockerd.kok-new
chmod 0755 /usr/local/bin/cri-dockerd.kok-new
mv -f /usr/local/bin/cri-dockerd.kok-new /usr/local/bin/cri-dockerd
reread_units cri-dockerd
systemctl enable --no-reload --quiet cri-dockerd
systemctl restart cri-dockerd
