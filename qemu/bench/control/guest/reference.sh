# shellcheck shell=sh
# What Debian's ipvsadm and keepalived take for what the appliance does.
set -eu
ip link set lo up
ip addr add 192.168.4.5/24 dev eth0
ip link set eth0 up
cd /tmp

# keepalived's time is what its processes were given by the kernel: it works
# in the background, and much of the time it waits.
spent() {
	total=0
	for stat in /proc/"$(cat keepalived.pid)"/stat /proc/"$(cat checkers.pid)"/stat; do
		# The fields 14 and 15, in ticks of 10 ms; the second is the name.
		ticks=$(sed 's/.*) //' "$stat" | awk '{ print $12 + $13 }')
		total=$((total + ticks * 10000))
	done
	echo $total
}

# settled waits until keepalived has done what it had to do.
settled() {
	last=-1
	while [ "$(spent)" != "$last" ]; do
		last=$(spent)
		sleep 3
	done
}

keepalived_conf() { # SERVICES WEIGHT-OF-ONE
	awk -v services="$1" -v weight="$2" 'BEGIN {
		for (s = 0; s < services; s++) {
			printf "virtual_server 192.168.4.5 %d {\n lb_algo wrr\n lb_kind NAT\n protocol TCP\n", 1000 + s
			for (r = 1; r <= 10; r++)
				printf " real_server 10.1.%d.%d 80 {\n  weight %d\n }\n", s % 250, r, (s == 500 && r == 5) ? weight : 1
			print "}"
		}
	}'
}

median nothing true
table_rules 1000 > rules
cost load sh -c 'ipvsadm -R < rules'
median list sh -c 'ipvsadm -Ln > listed'
test "$(wc -l < listed)" = 11003
ipvsadm -C

keepalived_conf 1000 1 > keepalived.conf
keepalived --use-file /tmp/keepalived.conf --check --pid /tmp/keepalived.pid --checkers_pid /tmp/checkers.pid
until [ "$(ipvsadm -Sn | wc -l)" = 11000 ]; do sleep 1; done
settled
started=$(spent)
say "elapsed: keepalived-start $started"
keepalived_conf 1000 7 > keepalived.conf
began=$(clock)
kill -HUP "$(cat keepalived.pid)"
# The weight is looked at every 10 ms and a bit, which keepalived goes without.
until ipvsadm -Ln -t 192.168.4.5:1500 | grep -q ' 7  '; do sleep 0.01; done
say "elapsed: keepalived-until-it-counts $(($(clock) - began))"
settled
say "elapsed: keepalived-reload $(($(spent) - started))"
kill "$(cat keepalived.pid)"
while [ -e keepalived.pid ]; do sleep 1; done
ipvsadm -C

table_rules 10000 > rules
cost load-10000 sh -c 'ipvsadm -R < rules'
median list-10000 sh -c 'ipvsadm -Ln > listed'
test "$(wc -l < listed)" = 110003
ipvsadm -C

ipvsadm -A -u 192.168.4.5:53 -s rr
ipvsadm -a -u 192.168.4.5:53 -r 10.1.0.1:53 -m
ip neigh add 192.168.4.254 lladdr 02:00:00:00:00:01 dev eth0
ip route add 10.1.0.0/16 via 192.168.4.254
echo 1 > /proc/sys/net/ipv4/ip_forward
flood
cost connections sh -c 'ipvsadm -Lcn | grep " 10.64.12.34:" > found'
test "$(wc -l < found)" = 1
say "count: connections $(made)"
