#!/bin/sh
# Runs in the broker's container: writes the program's password, leaves the
# devices' passwords as they are, and starts the broker. Add a device with
#   docker compose exec mosquitto mosquitto_passwd -b /mosquitto/data/passwords KEY PASSWORD
#   docker compose kill -s HUP mosquitto
set -eu
: "${MQTT_PASSWORD:?not set: run scripts/compose-env.sh}"
passwords=${PASSWORDS:-/mosquitto/data/passwords}
umask 077
touch "$passwords"
mosquitto_passwd -b "$passwords" thirdstate "$MQTT_PASSWORD"
# Started as root, the broker becomes the user mosquitto and must still read the file.
if [ "$(id -u)" = 0 ]; then chown mosquitto:mosquitto "$passwords"; fi
exec mosquitto -c "${CONFIG:-/mosquitto/config/mosquitto.conf}"
