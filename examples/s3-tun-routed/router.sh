#!/bin/sh
# Between the clients' and director's network (eth0) and the real servers' (eth1).
ip link set eth0 up
ip link set eth1 up
ip addr add 192.168.10.1/24 dev eth0
ip addr add 192.168.20.1/24 dev eth1
sysctl -q net.ipv4.ip_forward=1
# Replies have the VIP as their source, an address of eth0's network, and come
# in by eth1: a router that checks the way back would drop them.
sysctl -q net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0
