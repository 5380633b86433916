#!/bin/sh
# The test client. Replies come from the real servers' network, by the router.
ip link set eth0 up
ip addr add 192.168.10.105/24 dev eth0
