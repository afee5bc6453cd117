systemctl disable --no-reload --now --quiet node-problem-detector 2>/dev/null || true
rm -f /usr/local/bin/node-problem-detector /usr/local/bin/node-problem-detector.kok-new
rm -rf /etc/node-problem-detector /etc/systemd/system/node-problem-detector.service
forget_units node-problem-detector
