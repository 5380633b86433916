package ipvsadm

import (
	"fmt"
	"io"
	"strings"

	"dipper/appliance/ipvs"
)

// PrintVersion says whose language this is, and which IPVS there is.
func PrintVersion(w io.Writer, v ipvs.Version) error {
	_, err := fmt.Fprintf(w, "ipvsadm v1.31 (the language of it, in Dipper, and IPVS v%s)\n", v)
	return err
}

// PrintUsage says what commands and options there are.
func PrintUsage(w io.Writer, v ipvs.Version) error {
	if err := PrintVersion(w, v); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, usageText, strings.Join(schedulers[:len(schedulers)-1], " "))
	return err
}

const usageText = `Usage:
  ipvsadm -A|-E SERVICE [-s SCHEDULER] [-p [SECONDS]] [-M MASK] [-b FLAGS] [-o] [--pe sip]
  ipvsadm -D SERVICE
  ipvsadm -a|-e SERVICE -r SERVER [-g|-i|-m] [-w WEIGHT] [-x N] [-y N] [--tun-...]
  ipvsadm -d SERVICE -r SERVER
  ipvsadm -L|-l [SERVICE | -c | --timeout | --daemon] [-n] [listing options]
  ipvsadm -Z [SERVICE]
  ipvsadm -C
  ipvsadm -S [-n] [--all]      ipvsadm -R < FILE
  ipvsadm --set TCP TCPFIN UDP
  ipvsadm --start-daemon master|backup [daemon options]
  ipvsadm --stop-daemon master|backup
  ipvsadm -h|-v

Commands, of which one stands first:
  -A --add-service     a virtual service         -a --add-server      a real server of it
  -E --edit-service    replaces all options      -e --edit-server     replaces all options
  -D --delete-service                            -d --delete-server
  -L --list            the table                 -C --clear           delete everything
  -S --save            the table as commands     -R --restore         do such commands, all or none
  -Z --zero            the counters              --set                timeouts; 0 keeps one
  --start-daemon --stop-daemon                   connection synchronisation
  -h --help            -v --version

SERVICE:
  -t --tcp-service     VIP:PORT                  -u --udp-service     VIP:PORT
     --sctp-service    VIP:PORT                  -f --fwmark-service  MARK [-6 --ipv6]

Options of a virtual service:
  -s --scheduler NAME  %s
                       (wlc unless given)
  -b --sched-flags     sh-fallback sh-port mh-fallback mh-port flag-1 flag-2 flag-3, with commas
  -p --persistent      a client stays with its real server for this many seconds (360)
  -M --netmask         which clients count as one: 255.255.255.0, for IPv6 a prefix length
     --pe sip          clients are told apart by the Call-ID of SIP
  -o --ops             every UDP packet is scheduled anew

Options of a real server:
  -r --real-server     RIP[:PORT]
  -g --gatewaying      direct routing (unless given)   -i --ipip   tunnel   -m --masquerading   NAT
     --tun-type        ipip (unless given), gue or gre
     --tun-port        of GUE
     --tun-nocsum --tun-csum --tun-remcsum
  -w --weight          0 takes no new connections (1)
  -x --u-threshold     connections at which it counts as overloaded
  -y --l-threshold     connections below which it no longer does

Listing:
  -n --numeric         no names                  -c --connection      connections
     --stats           counters                  --rate               rates per second
     --thresholds      --persistent-conn         --tun-info
  -X --exact           whole numbers             --nosort             in the kernel's order
     --timeout         --daemon                  --sort               does nothing
     --json            everything, as JSON

Saving:
     --all             also timeouts and synchronisation daemons

Daemon options:
     --mcast-interface eth0   --mcast-group 224.0.0.81   --mcast-port 8848   --mcast-ttl 1
     --syncid 0 to 255        --sync-maxlen bytes
`
