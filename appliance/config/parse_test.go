package config

import (
	"errors"
	"strings"
	"testing"
)

func TestSmoke(t *testing.T) {
	for _, src := range []string{`role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24]}
  routes:
    - {to: default, via: 192.168.4.254}
services:
  web:
    listen: 192.168.4.15:80
    protocol: tcp
    scheduler: wrr
    forward: dr
    real-servers:
      - {address: 192.168.4.100, weight: 1}
      - {address: 192.168.4.200, weight: 2}
`, `role: directr
hostnam: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24, 10.0.0.0/24, 10.0.0.300/24], mtuu: 3}
    eth0: {}
  routes:
    - {to: default, via: 192.168.5.254}
services:
  web:
    listen: 192.168.5.15:80
    protocol: tc
    scheduler: lcss
    forward: masq
    real-servers:
      - {address: 192.168.4.100:0, weight: -1}
      - {address: 192.168.4.200, weight: 2}
    check: {type: http}
`, "a: [2001::1]:80\n", "\ta: b\n", "", "role: director\n---\nrole: x\n", "a: &x b\n", "x:y", "role:\n  - director\nhostname: 12\nnetwork: \nservices: foo\n"} {
		c, err := Parse("dipper.yaml", []byte(src))
		var errs Errors
		if errors.As(err, &errs) {
			t.Logf("\n%s", errs.Excerpt([]byte(src)))
		} else {
			t.Logf("%+v %v", c, err)
		}
	}
	_ = strings.Join
}
