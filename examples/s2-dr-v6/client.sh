#!/bin/sh
# The test client.
ip link set eth0 up
ip addr add 2001:db8:4::10/64 dev eth0
