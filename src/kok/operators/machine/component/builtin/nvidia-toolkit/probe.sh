# Where there is no GPU nothing is needed; the Machine's condition tells of that.
[ "$(nvidia_gpus)" != 0 ] || { echo {{ version }}; exit 0; }
[ -x /usr/bin/nvidia-ctk ] && [ -x /usr/bin/nvidia-container-runtime ] && [ -x /usr/bin/nvidia-cdi-hook ] || exit 0
{% if params.runtime == "docker" %}
grep -q nvidia-container-runtime /etc/docker/daemon.json 2>/dev/null || exit 0
{% else %}
grep -q nvidia-container-runtime /etc/containerd/conf.d/99-nvidia.toml 2>/dev/null || exit 0
{% endif %}
/usr/bin/nvidia-ctk --version | sed -n 's/^.*version  *v\{0,1\}\([0-9][^ ]*\).*$/\1/p'
