# Other plugins may lie in the same place already: each of ours is replaced in one piece.
fresh=/opt/cni/bin/.kok-new
rm -rf "$fresh"
mkdir -p "$fresh"
tar -xzf "$KOK_ARTIFACT_ARCHIVE" -C "$fresh" --no-same-owner
for file in "$fresh"/*; do
    if [ -f "$file" ]; then mv -f "$file" /opt/cni/bin/; fi
done
rm -rf "$fresh"
