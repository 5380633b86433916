# shellcheck shell=sh
# Costs by a clock that counts instructions, in microseconds.

clock() {
	adjtimex | awk '/tv_sec:/ { s = $2 } /tv_usec:/ { u = $2 } END { printf "%d%06d\n", s, u }'
}

# say prints a figure, and shows on the console how far it has come.
say() {
	echo "$*"
	echo "$*" > /dev/console
}

# cost runs a command and says what it took.
cost() { # NAME COMMAND...
	name=$1
	shift
	began=$(clock)
	"$@"
	ended=$(clock)
	say "cost: $name $((ended - began))"
}

# median runs a command five times and says what it took in the middle: an audit of
# the table, or a collection of garbage, falls on some.
median() { # NAME COMMAND...
	name=$1
	shift
	costs=$(for _ in 1 2 3 4 5; do
		began=$(clock)
		"$@" >&2
		echo $(($(clock) - began))
	done | sort -n)
	say "cost: $name $(echo "$costs" | sed -n 3p)"
}

# table_rules prints so many services with ten real servers each, as ipvsadm -R reads
# them.
table_rules() { # SERVICES
	awk -v services="$1" 'BEGIN {
		for (s = 0; s < services; s++) {
			printf "-A -t 192.168.4.5:%d -s wrr\n", 1000 + s
			for (r = 1; r <= 10; r++)
				printf "-a -t 192.168.4.5:%d -r 10.1.%d.%d:80 -m -w 1\n", 1000 + s, s % 250, r
		}
	}'
}

# connections are how many are read. Each read of the kernel's file begins at its
# first bucket again: what a thousand cost is known (docs/decisions/0014), and a
# million take long.
connections=${connections:-100000}

# control_plane is the directory of the control plane's process.
control_plane() {
	for status in /proc/[0-9]*/status; do
		if grep -q '^Name:.appliance' "$status"; then echo "${status%/status}"; fi
	done
}

# memory is what the control plane has had at most, in KiB.
memory() { awk '/VmHWM:/ { print $2 }' "$(control_plane)/status"; }

# forget_peak makes what the control plane has now the most it had.
forget_peak() { echo 5 > "$(control_plane)/clear_refs"; }

# flood makes them, each of another client, at the service 192.168.4.5:53, by
# packets of a generator in a namespace of its own.
flood() {
	ip netns add generator
	ip link add flood0 type veth peer name g0 netns generator
	ip -n generator link set g0 up
	ip link set flood0 up
	for i in all flood0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done
	ip route add 10.64.0.0/10 dev flood0
	for setting in "kpktgend_0 add_device g0" "g0 count $connections" "g0 delay 0" "g0 clone_skb 0" "g0 pkt_size 60" \
		"g0 dst 192.168.4.5" "g0 src_min 10.64.0.1" "g0 src_max 10.127.255.254" \
		"g0 dst_mac $(cat /sys/class/net/flood0/address)" "g0 udp_dst_min 53" "g0 udp_dst_max 53" \
		"g0 udp_src_min 1024" "g0 udp_src_max 1024" "pgctrl start"; do
		echo "${setting#* }" | ip netns exec generator tee "/proc/net/pktgen/${setting%% *}" > /dev/null
	done
}

# made is how many connections the only real server has.
made() { awk '/->/ { made = $NF } END { print made }' /proc/net/ip_vs; }
