package rootfs

import (
	"cmp"
	"fmt"
	"slices"
)

// Contents is what goes into the tree beside what is always there.
type Contents struct {
	Init         []byte   // our executable
	Commands     []string // the names of the administrator's commands
	Programs     []byte   // the file system with these commands, see Programs
	Certificates []byte   // PEM: the roots that https trusts
	Version      string
	Commit       string
}

// Tree lays out the root file system, sorted by path, so that every directory
// comes before what is in it.
func Tree(c Contents) ([]Node, error) {
	nodes := slices.Concat(skeleton(), etc(c), programs(c))
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Path, b.Path) })
	if err := check(nodes); err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	return nodes, nil
}

// skeleton is the directories and the two devices that are needed before /dev is
// mounted: the kernel opens /dev/console for PID 1, and the Go runtime /dev/null
// where one of its first three descriptors is closed. devtmpfs then hides both,
// so that the modes here matter to nobody but PID 1.
func skeleton() []Node {
	return []Node{
		directory("bbin", 0o755),
		directory("bin", 0o755),
		directory("dev", 0o755),
		characterDevice("dev/console", 0o600, 5, 1),
		characterDevice("dev/null", 0o600, 1, 3),
		directory("etc", 0o755),
		directory("etc/dipper", 0o700), // a boot config holds secrets
		directory("etc/ssl", 0o755),
		directory("etc/ssl/certs", 0o755),
		directory("proc", 0o555),
		directory("root", 0o700),
		directory("run", 0o755),
		directory("sys", 0o555),
		sticky(directory("tmp", 0o777)),
		directory("var", 0o755),
	}
}

// programs is our executable and the names it goes by. Those in /bbin are of the
// administrator's commands: whoever calls the first has Programs mounted over
// them (package bbin).
func programs(c Contents) []Node {
	nodes := []Node{
		file("init", 0o755, c.Init),
		link("bin/dipper", "/init"),
		link("bin/poweroff", "/init"),
		link("bin/reboot", "/init"),
		file("bbin.squashfs", 0o644, c.Programs),
		link("bbin/"+busybox, "/init"),
	}
	for _, name := range c.Commands {
		nodes = append(nodes, link("bbin/"+name, "/init"))
	}
	return nodes
}

// busybox is the name of the busybox of u-root commands.
const busybox = "bb"

// Programs lays out the file system that is mounted on /bbin: the busybox, and a
// link for each of the commands that it answers to.
func Programs(executable []byte, commands []string) ([]Node, error) {
	nodes := []Node{file(busybox, 0o755, executable)}
	for _, name := range commands {
		nodes = append(nodes, link(name, busybox))
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Path, b.Path) })
	if err := check(nodes); err != nil {
		return nil, fmt.Errorf("file system of commands: %w", err)
	}
	return nodes, nil
}
