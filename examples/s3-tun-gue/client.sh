#!/bin/sh
# The test client.
ip link set eth0 up
ip addr add 192.168.10.105/24 dev eth0
