# apply | undo: puts what KOK wants into /etc/docker/daemon.json and leaves the rest as it is; what
# stood there before is noted, and is there again afterwards.
place=${KOK_DOCKER_CONFIG:-/etc/docker}
tool=${0%.sh}.awk
have=$(readlink -f "$place/daemon.json")
mkdir -p "$place/kok"
wanted=$place/kok/daemon.json
[ "$1" = apply ] || wanted=/dev/null
if ! HAVE=$have WANTED=$wanted WAS=$place/kok/before NOTED=$place/kok/before.new \
    awk -f "$tool" </dev/null >"$place/kok/new"; then
    rm -f "$place/kok/new" "$place/kok/before.new"
    echo "$have is not written as JSON; correct it, or remove it"
    exit 1
fi
# Noted first: what was changed and not noted could not be taken back.
sync "$place/kok/before.new" 2>/dev/null || sync
mv -f "$place/kok/before.new" "$place/kok/before"
if [ ! -s "$place/kok/new" ]; then
    rm -f "$have" "$place/kok/new"
elif cmp -s "$place/kok/new" "$have"; then
    rm -f "$place/kok/new"
else
    chmod "$(stat -c %a "$have" 2>/dev/null || echo 644)" "$place/kok/new"
    mv -f "$place/kok/new" "$have"
fi
[ "$1" = apply ] || rm -f "$place/kok/before"
