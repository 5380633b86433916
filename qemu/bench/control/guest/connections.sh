# shellcheck shell=sh
# What it takes to find one client's among very many connections, by the control
# plane and by Debian's ipvsadm, one after the other, on the appliance's kernel.
set -eu
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
cd /tmp
cat > /requests # nothing in /tmp is executed
chmod +x /requests

median nothing true
dipper ipvsadm -A -u 192.168.4.5:53 -s rr
dipper ipvsadm -a -u 192.168.4.5:53 -r 10.1.0.1:53 -m
dipper ipvsadm --set 0 0 86400 # none may end while they are read
ip neigh add 192.168.4.254 lladdr 02:00:00:00:00:01 dev eth0
ip route add 10.1.0.0/16 via 192.168.4.254
cost flood flood
forget_peak
before=$(memory)
cost connections sh -c '/requests connections 10.64.12.34 > found'
grep -q '10\.64\.12\.34' found
grep count: found | tee /dev/console
say "count: memory-of-control-plane $(($(memory) - before))"
if [ -n "$with_debian" ]; then
	cost ipvsadm-connections sh -c 'ipvsadm -Lcn | grep " 10.64.12.34:" > listed'
	test "$(wc -l < listed)" = 1
fi
say "count: connections $(made)"
