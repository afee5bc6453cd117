# The very end of a removal: the owner's mark goes last. Nobody claims the host in between.
owned
exec 7<"$KOK"
flock 7
# What is left of a component is known by its home alone.
for home in "$KOK"/components/*; do
    [ -d "$home" ] || continue
    echo "component ${home##*/} was not taken away" >&2
    exit 1
done
rm -rf "${BOOT:?}"
for part in jobs components cache locks; do
    # Such a directory may be a link, or mounted: what is in it goes in any case.
    [ ! -d "$KOK/$part" ] || find "$KOK/$part/" -mindepth 1 -delete
    rm -rf "${KOK:?}/$part" 2>/dev/null
done
left=$(find "$KOK/" -mindepth 2 | head -n 3)
if [ -n "$left" ]; then
    echo "cannot remove" $left >&2
    exit 1
fi
rm -f "$KOK/owner"
rm -rf "$KOK" 2>/dev/null
[ ! -e "$KOK/owner" ]
