#!/bin/sh
# The test client. Replies come from the real servers' network, by the router.
ip link set eth0 up
ip addr add 2001:db8:10::105/64 dev eth0
