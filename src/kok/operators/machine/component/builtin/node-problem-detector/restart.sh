reread_units node-problem-detector
systemctl enable --no-reload --quiet node-problem-detector
# Not to be waited for: it waits for the kubelet's credentials itself.
systemctl --no-block restart node-problem-detector
