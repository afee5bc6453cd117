# Started means that it answers, also after a restart that found many containers.
for _ in $(seq 300); do
    timeout 5 /opt/docker/bin/docker ps -q >/dev/null 2>&1 && exit 0
    systemctl is-failed --quiet docker && break
    sleep 0.1
done
echo "Docker does not answer: $(journalctl -u docker -n 5 --no-pager -o cat 2>/dev/null | tail -n 5)"
exit 1
