sh -eu /opt/docker/kok/daemon-json.sh apply
reread_units docker-containerd docker
systemctl enable --no-reload --quiet docker-containerd docker
systemctl start docker-containerd
systemctl restart docker
