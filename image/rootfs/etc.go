package rootfs

import "fmt"

// resolvConf is written by the control plane once it knows name servers, from the
// configuration or a lease. Until then the link leads nowhere and names do not
// resolve: no name server of anybody else's choice is ever asked.
const resolvConf = "/run/dipper/resolv.conf"

const passwd = `root:x:0:0:root:/root:/bin/dipper
nobody:x:65534:65534:nobody:/:/bbin/false
`

const group = `root:x:0:
nogroup:x:65534:
`

const hosts = `127.0.0.1 localhost
::1       localhost
`

// nsswitch has names looked up in hosts first; there is nothing but files and DNS
// in the image.
const nsswitch = `passwd: files
group:  files
hosts:  files dns
`

func etc(c Contents) []Node {
	return []Node{
		file("etc/group", 0o644, []byte(group)),
		file("etc/hosts", 0o644, []byte(hosts)),
		file("etc/nsswitch.conf", 0o644, []byte(nsswitch)),
		file("etc/os-release", 0o644, osRelease(c.Version, c.Commit)),
		file("etc/passwd", 0o644, []byte(passwd)),
		link("etc/resolv.conf", resolvConf),
		// Where crypto/x509 looks first (root_linux.go).
		file("etc/ssl/certs/ca-certificates.crt", 0o644, c.Certificates),
	}
}

// osRelease is os-release(5).
func osRelease(version, commit string) []byte {
	return fmt.Appendf(nil, `NAME=Dipper
ID=dipper
PRETTY_NAME="Dipper %[1]s"
VERSION_ID=%[1]s
BUILD_ID=%[2]s
`, version, commit)
}
