package busybox

import (
	"path"
	"slices"
)

// module is where all the commands come from.
const module = "github.com/u-root/u-root"

// commands are what an administrator needs to look into a machine that the shell's
// own commands do not explain, below cmds/ of u-root. There is no command
// interpreter among them, and nothing that serves anybody from outside.
//
// Each is also a tool of go.mod, which keeps what it imports in the module graph:
// go get -tool github.com/u-root/u-root/cmds/core/NAME@VERSION.
var commands = []string{
	// network
	"core/ip", "core/netcat", "core/netstat", "core/ping", "core/wget",
	// processes and the kernel
	"core/dmesg", "core/free", "core/kill", "core/lsfd", "core/pidof", "core/ps", "core/strace", "core/uname",
	"core/uptime",
	// hardware and file systems
	"core/blkid", "core/df", "core/hwclock", "core/lsdrivers", "core/mount", "core/pci", "core/sync",
	"core/umount", "exp/dmidecode",
	// files
	"core/cat", "core/chmod", "core/cmp", "core/cp", "core/dd", "core/du", "core/find", "core/grep", "core/head",
	"core/hexdump", "core/ln", "core/ls", "core/mkdir", "core/more", "core/mv", "core/readlink", "core/rm",
	"core/shasum", "core/sort", "core/strings", "core/tail", "core/wc", "core/which",
	// the rest
	"core/date", "core/echo", "core/false", "core/hostname", "core/id", "core/printenv", "core/sleep", "core/true",
	"exp/watch",
}

// importPaths of the commands, sorted.
func importPaths() []string {
	var paths []string
	for _, command := range commands {
		paths = append(paths, module+"/cmds/"+command)
	}
	slices.Sort(paths)
	return paths
}

// names that the busybox answers to, sorted.
func names() []string {
	var names []string
	for _, command := range commands {
		names = append(names, path.Base(command))
	}
	slices.Sort(names)
	return names
}
