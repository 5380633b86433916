# shellcheck shell=sh
# What the appliance takes, from the command's start to its end.
set -eu
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
cd /tmp
cat > /requests # nothing in /tmp is executed
chmod +x /requests

edits() { dipper status | sed -n 's/.*"edits": \([0-9]*\).*/\1/p'; }

median nothing true
start_client() { dipper help 2> /dev/null || true; }
median client start_client
# weigh gives the real server of the bench another weight each time.
weight=100
weigh() {
	weight=$((weight + 1))
	dipper ipvsadm -e -t 192.168.4.5:1500 -r 10.1.0.5:80 -m -w "$weight"
}
table_rules 1000 > rules
cost load sh -c 'dipper ipvsadm -R < rules'
before=$(edits)
cost weight-first weigh
say "count: edits-weight $(($(edits) - before))"
median list sh -c 'dipper ipvsadm -Ln > listed'
test "$(wc -l < listed)" = 11003
median weight weigh
/requests weights
/requests editing ""
dipper config > config.yaml
before=$(edits)
cost again sh -c 'dipper apply config.yaml > applied'
say "count: edits-again $(($(edits) - before))"
dipper ipvsadm -C

table_rules 10000 > rules
cost load-10000 sh -c 'dipper ipvsadm -R < rules'
median list-10000 sh -c 'dipper ipvsadm -Ln > listed'
test "$(wc -l < listed)" = 110003
/requests editing -10000
dipper ipvsadm -C

dipper ipvsadm -A -u 192.168.4.5:53 -s rr
dipper ipvsadm -a -u 192.168.4.5:53 -r 10.1.0.1:53 -m
ip neigh add 192.168.4.254 lladdr 02:00:00:00:00:01 dev eth0
ip route add 10.1.0.0/16 via 192.168.4.254
flood
forget_peak
before=$(memory)
cost connections sh -c '/requests connections 10.64.12.34 > found'
grep -q '10\.64\.12\.34' found
grep count: found
say "count: memory-of-control-plane $(($(memory) - before))"
say "count: connections $(made)"
