#!/bin/sh
# deploy.sh DIST ROOT NAME: puts the release DIST under ROOT/releases/NAME and switches ROOT/current to it.
# The link is switched by rename, so that there is a whole current release at every moment.
set -eu
dist=$1 root=$2 name=$3
mkdir -p "$root/releases"
rm -rf "$root/releases/.$name.new"
cp -R "$dist" "$root/releases/.$name.new"
rm -rf "$root/releases/$name"
mv "$root/releases/.$name.new" "$root/releases/$name"
ln -s "releases/$name" "$root/.current.new"
mv -T "$root/.current.new" "$root/current"
echo "released $name: $("$root/current/bin/wordmill" --version)"
