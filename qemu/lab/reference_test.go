package lab

import "testing"

// referenced is a director with something in its table.
const referenced = `
role: director
network: {interfaces: {eth0: {addresses: [192.168.4.5/24]}}}
services:
  web: {listen: "192.168.4.15:80", scheduler: wrr, forward: dr, real-servers: [{address: 192.168.4.100, weight: 3}]}
`

// TestReference runs Debian's ipvsadm on an appliance's kernel.
func TestReference(t *testing.T) {
	t.Parallel()
	c := StartT(t, &Description{Name: "reference", Nodes: []*Node{
		{Name: "director", LANs: []string{"lan"}, Config: []byte(referenced), Reference: true},
	}})
	listed, err := c.Appliance("director").Run(patience(t), "sh", "-c", "PATH=/sbin:/bin; ipvsadm -Sn")
	if err != nil {
		t.Fatal(err)
	}
	const want = "-A -t 192.168.4.15:80 -s wrr\n-a -t 192.168.4.15:80 -r 192.168.4.100:80 -g -w 3\n"
	if listed.Stdout != want || listed.Exit != 0 {
		t.Errorf("got %q %q, exit status %d; want %q", listed.Stdout, listed.Stderr, listed.Exit, want)
	}
}
