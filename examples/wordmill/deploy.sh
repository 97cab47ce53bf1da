#!/bin/sh
# deploy.sh DIST ROOT NAME: puts the release DIST under ROOT/releases/NAME and switches ROOT/current to it.
# The link is switched by rename, and a release that is there already is never touched (the same commit released
# again becomes NAME-2), so that `current` is a whole release at every moment.
set -eu
dist=$1 root=$2 name=$3
mkdir -p "$root/releases"
new=$(mktemp -d "$root/releases/.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
chmod 755 "$new"
cp -R "$dist/." "$new"
n=1 release=$name
while [ -e "$root/releases/$release" ]; do
	n=$((n + 1))
	release=$name-$n
done
mv -T "$new" "$root/releases/$release"
ln -sfn "releases/$release" "$root/.current.new"
mv -T "$root/.current.new" "$root/current"
echo "released $release: $("$root/current/bin/wordmill" --version)"
