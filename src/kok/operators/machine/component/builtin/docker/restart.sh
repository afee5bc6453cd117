sh -eu /opt/docker/kok/daemon-json.sh apply
systemctl daemon-reload
systemctl enable --quiet docker-containerd docker
systemctl start docker-containerd
systemctl restart docker
