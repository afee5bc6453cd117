{% set config = params.config | default({}) %}
{% set port = config.healthzPort | default(10248) %}
# One that does not run yet has nothing to answer: it is started by joining a cluster.
systemctl is-active --quiet kubelet || exit 0
{% if port %}
address={{ config.healthzBindAddress | default("127.0.0.1") | to_json }}
case $address in
    0.0.0.0 | "") address=127.0.0.1 ;;
    :: | *:*) address="[$(printf %s "$address" | sed 's/^::$/::1/')]" ;;
esac
command -v curl >/dev/null 2>&1 || exit 0
for _ in $(seq 100); do
    said=$(curl -sS -f --noproxy '*' -m 3 "http://$address:{{ port }}/healthz" 2>&1) && exit 0
    # One that ends tells why in its journal.
    systemctl is-active --quiet kubelet || exit 0
    sleep 0.1
done
echo "the kubelet does not answer: $said"
exit 1
{% endif %}
