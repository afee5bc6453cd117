# Asked in the kubelet's own way for its version: a call of gRPC without fields is five zeros. One that
# hangs lets anybody connect, and says nothing.
answers() {
    command -v curl >/dev/null 2>&1 && curl --version | grep -qw HTTP2 || return 0
    printf '\0\0\0\0\0' | curl -sS -f -o /dev/null -m 4 --http2-prior-knowledge --unix-socket /run/cri-dockerd.sock \
        -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @- \
        http://localhost/runtime.v1.RuntimeService/Version 2>&1
}
said=
end=$(($(date +%s) + 30))
while [ "$(date +%s)" -lt "$end" ]; do
    systemctl is-active --quiet cri-dockerd && [ -S /run/cri-dockerd.sock ] && said=$(answers) && exit 0
    sleep 0.1
done
said=${said:-$(journalctl -u cri-dockerd -n 5 --no-pager -o cat 2>/dev/null | tail -n 5)}
echo "cri-dockerd does not answer: $said"
exit 1
