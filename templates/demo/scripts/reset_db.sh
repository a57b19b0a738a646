#!/bin/sh
# Makes app/server/app.db anew, with a few items that name the instance.
# The new file is complete before it takes the old one's place, so a running server may stay up.
set -eu
cd "$(dirname "$0")/../app/server"
rm -f app.db.new
python3 database.py app.db.new "${TREEDOCK_ID:-local}"
mv app.db.new app.db
