# Started means that it answers, also after a restart that found many containers.
for _ in $(seq 300); do
    /usr/local/bin/ctr --connect-timeout 1s version >/dev/null 2>&1 && exit 0
    systemctl is-failed --quiet containerd && break
    sleep 0.1
done
echo "containerd does not answer: $(journalctl -u containerd -n 5 --no-pager -o cat 2>/dev/null | tail -n 5)"
exit 1
