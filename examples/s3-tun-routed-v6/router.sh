#!/bin/sh
# Between the clients' and director's network (eth0) and the real servers' (eth1).
ip link set eth0 up
ip link set eth1 up
ip addr add 2001:db8:10::1/64 dev eth0
ip addr add 2001:db8:20::1/64 dev eth1
sysctl -q net.ipv6.conf.all.forwarding=1
