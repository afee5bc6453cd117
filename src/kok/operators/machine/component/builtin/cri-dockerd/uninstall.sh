systemctl disable --no-reload --now --quiet cri-dockerd 2>/dev/null || true
# Pods must not outlive the kubelet, which is gone before this where the host leaves its cluster.
docker=/opt/docker/bin/docker
if [ -x "$docker" ] && systemctl is-active --quiet docker; then
    pods=$(timeout 10 "$docker" ps -q --filter label=io.kubernetes.docker.type 2>/dev/null || true)
    [ -z "$pods" ] || timeout 20 "$docker" stop -t 5 $pods >/dev/null 2>&1 || true
fi
rm -f /usr/local/bin/cri-dockerd /usr/local/bin/cri-dockerd.kok-new /run/cri-dockerd.sock
rm -f /etc/systemd/system/cri-dockerd.service
rm -rf /var/lib/cri-dockerd /var/lib/cni/cache
forget_units cri-dockerd
