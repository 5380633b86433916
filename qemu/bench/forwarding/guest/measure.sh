# shellcheck shell=sh
# What a packet costs on its way through a director, in each way of forwarding.
# pktgen sends from a namespace of its own into the director's; what leaves the
# director goes to a dummy device, which counts it and throws it away.
set -eu

GATE=02:00:00:00:00:01 # the director's MAC address
VIP=192.0.2.1
NEW=20000              # packets, each a flow of its own
FLOWS=1000             # known flows
KNOWN=20000            # packets of known flows

# director makes the director's namespace, fresh.
director() {
	ip netns add generator
	ip netns add director
	ip link add g0 netns generator type veth peer name d0 netns director address "$GATE"
	ip -n generator link set g0 up
	ip -n director link set lo up
	ip -n director link add d1 type dummy
	ip -n director addr add 10.255.255.254/8 dev d0
	ip -n director addr add $VIP/32 dev d0
	ip -n director addr add 198.51.100.1/24 dev d1
	ip -n director link set d0 up
	ip -n director link set d1 up
	for server in 2 3; do
		ip -n director neigh add 198.51.100.$server lladdr 02:00:00:00:01:0$server dev d1
	done
	ip netns exec director sysctl -q -w net.ipv4.ip_forward=1 \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.d0.rp_filter=0 net.ipv4.conf.all.send_redirects=0
}

away() {
	ip netns del generator
	ip netns del director
}

pktgen() { # FILE COMMAND...
	file=$1
	shift
	echo "$*" | ip netns exec generator tee "/proc/net/pktgen/$file" > /dev/null
}

# shoot sends COUNT packets to TO, from as many addresses as FIRST to LAST, and
# prints what a packet cost: microseconds of a clock that counts instructions.
shoot() { # COUNT TO FIRST LAST MAC
	pktgen kpktgend_0 rem_device_all
	pktgen kpktgend_0 add_device g0
	for setting in "count $1" "delay 0" "clone_skb 0" "pkt_size 60" "dst $2" \
		"src_min $3" "src_max $4" "dst_mac $5" "udp_src_min 1024" "udp_src_max 1024" \
		"udp_dst_min 53" "udp_dst_max 53"; do
		pktgen g0 "$setting"
	done
	pktgen pgctrl start
	ip netns exec generator sed -n 's/^Result: OK: \([0-9]*\)(.*/\1/p' /proc/net/pktgen/g0
}

sent() { ip netns exec director cat /sys/class/net/d1/statistics/tx_packets; }

# cost measures new flows, then known ones: the first packets of those are sent
# before.
cost() { # NAME TO MAC WANT, the part of packets that must come out
	before=$(sent)
	new=$(shoot $NEW "$2" 10.1.0.1 10.1.78.32 "$3")
	shoot $FLOWS "$2" 10.2.0.1 10.2.3.232 "$3" > /dev/null
	known=$(shoot $KNOWN "$2" 10.2.0.1 10.2.3.232 "$3")
	echo "cost: $1 new $new $NEW known $known $KNOWN passed $(($(sent) - before)) of $(((NEW + FLOWS + KNOWN) * $4))"
}

balance() { # NAME OPTION...
	name=$1
	shift
	director
	settings "$name"
	ip netns exec director ipvsadm -A -u $VIP:53 -s rr
	for server in 2 3; do
		ip netns exec director ipvsadm -a -u $VIP:53 -r 198.51.100.$server:53 "$@"
	done
	cost "$name" $VIP $GATE 1
	away
}

# settings are what a variant changes.
settings() {
	case $1 in
	*-conntrack) ip netns exec director sysctl -q -w net.ipv4.vs.conntrack=1 ;;
	*-no-estimation) ip netns exec director sysctl -q -w net.ipv4.vs.run_estimation=0 ;;
	esac
}

# nothing: packets for another machine, thrown away where they come in. What
# they cost is the generator's and the wire's.
director
cost nothing $VIP 02:00:00:00:00:ff 0
away

director
cost route 198.51.100.2 $GATE 1
away

balance dr -g
balance tun -i
balance nat -m
balance nat-conntrack -m
balance nat-no-estimation -m

director
ip netns exec director nft -f - <<END
table ip translate {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		ip daddr $VIP udp dport 53 dnat to 198.51.100.2
	}
}
END
cost nft-dnat $VIP $GATE 1
away
