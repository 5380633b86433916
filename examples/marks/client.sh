#!/bin/sh
# The test client. The VIPs of the hosting service are a network that a router
# sends to the director.
ip link set eth0 up
ip addr add 192.168.4.10/24 dev eth0
ip route add 192.168.5.0/24 via 192.168.4.5
