for _ in $(seq 300); do
    systemctl is-active --quiet cri-dockerd && [ -S /run/cri-dockerd.sock ] && exit 0
    sleep 0.1
done
echo "cri-dockerd does not run: $(journalctl -u cri-dockerd -n 5 --no-pager -o cat 2>/dev/null | tail -n 5)"
exit 1
