# The archive holds bin/node-problem-detector, and more that is not needed here.
mkdir -p /usr/local/bin
tar -xzf "$KOK_ARTIFACT_ARCHIVE" -O bin/node-problem-detector >/usr/local/bin/node-problem-detector.kok-new
chmod 0755 /usr/local/bin/node-problem-detector.kok-new
mv -f /usr/local/bin/node-problem-detector.kok-new /usr/local/bin/node-problem-detector
reread_units node-problem-detector
systemctl enable --no-reload --quiet node-problem-detector
# Not to be waited for: it waits for the kubelet's credentials itself.
systemctl --no-block restart node-problem-detector
