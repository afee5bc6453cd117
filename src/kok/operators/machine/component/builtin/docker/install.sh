# The archive holds docker/...; each program is replaced in one piece, also under one that runs. runc is
# a Component of its own.
fresh=/opt/docker/.kok-new
rm -rf "$fresh"
mkdir -p "$fresh" /opt/docker/bin /usr/local/bin
tar -xzf "$KOK_ARTIFACT_ARCHIVE" -C "$fresh" --no-same-owner
rm -f "$fresh/docker/runc"
for file in "$fresh"/docker/*; do
    mv -f "$file" /opt/docker/bin/
done
rm -rf "$fresh"
ln -sfn /opt/docker/bin/docker /usr/local/bin/docker
# Another runtime, if there was one, is gone by now.
[ -n "$KOK_FOUND" ] || sh -eu /opt/docker/kok/pod-network.sh
sh -eu /opt/docker/kok/daemon-json.sh apply
reread_units docker-containerd docker
systemctl enable --no-reload --quiet docker-containerd docker
systemctl restart docker-containerd docker
