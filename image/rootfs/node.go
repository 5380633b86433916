// Package rootfs owns what is in the image's root file system: every directory,
// file, device and link, with its mode. All belongs to root and has no time.
//
// It is pure. It knows neither how the executables were built nor how the tree is
// packed.
package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Node is one entry of the tree.
type Node struct {
	Path   string      // relative to the root: etc/passwd
	Mode   fs.FileMode // type, sticky bit and permissions; never the host's
	Body   []byte      // of a file
	Target string      // of a symbolic link
	Major  uint32      // of a device
	Minor  uint32
}

// String is the node as ls -l would show it, without what is the same for all.
func (n Node) String() string {
	switch n.Mode.Type() {
	case fs.ModeSymlink:
		return fmt.Sprintf("%v %s -> %s", n.Mode, n.Path, n.Target)
	case fs.ModeDevice | fs.ModeCharDevice:
		return fmt.Sprintf("%v %s %d,%d", n.Mode, n.Path, n.Major, n.Minor)
	default:
		return fmt.Sprintf("%v %s", n.Mode, n.Path)
	}
}

func directory(name string, perm fs.FileMode) Node {
	return Node{Path: name, Mode: fs.ModeDir | perm}
}

func file(name string, perm fs.FileMode, body []byte) Node {
	return Node{Path: name, Mode: perm, Body: body}
}

func link(name, target string) Node {
	return Node{Path: name, Mode: fs.ModeSymlink | 0o777, Target: target}
}

func sticky(node Node) Node {
	node.Mode |= fs.ModeSticky
	return node
}

func characterDevice(name string, perm fs.FileMode, major, minor uint32) Node {
	return Node{Path: name, Mode: fs.ModeDevice | fs.ModeCharDevice | perm, Major: major, Minor: minor}
}

// check returns what would make the tree unpack to something else than it says,
// or let somebody but root write into it.
func check(nodes []Node) error {
	modes := make(map[string]fs.FileMode)
	var errs []error
	for _, node := range nodes {
		if _, ok := modes[node.Path]; ok {
			errs = append(errs, fmt.Errorf("%s: twice in the image", node.Path))
		}
		modes[node.Path] = node.Mode
	}
	for _, node := range nodes {
		errs = append(errs, checkNode(node, modes))
	}
	return errors.Join(errs...)
}

func checkNode(node Node, modes map[string]fs.FileMode) error {
	if !fs.ValidPath(node.Path) || node.Path == "." {
		return fmt.Errorf("%q: not a path inside the image", node.Path)
	}
	// The kernel drops an entry whose directory it has not unpacked before,
	// without a word.
	if parent := path.Dir(node.Path); parent != "." && !modes[parent].IsDir() {
		return fmt.Errorf("%s: %s is no directory of the image", node.Path, parent)
	}
	if worldWritable(node.Mode) && node.Path != "tmp" {
		return fmt.Errorf("%s: mode %v lets everybody write", node.Path, node.Mode)
	}
	if node.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return fmt.Errorf("%s: mode %v is not for an image where all is root's", node.Path, node.Mode)
	}
	return nil
}

// worldWritable leaves links out: the mode of a link means nothing (symlink(7)).
func worldWritable(mode fs.FileMode) bool {
	return mode.Type() != fs.ModeSymlink && mode.Perm()&0o002 != 0
}
