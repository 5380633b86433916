// Package squashfs owns how a tree is packed into a read-only file system of its
// own, which is mounted from the file that it is: what is in it is unpacked when
// it is read, and not before. The bytes depend on nothing but the tree. It knows
// nothing of what is in the tree.
package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"dipper/image/rootfs"
)

// options of mksquashfs: root's, without times or the machine's attributes, and in
// one thread, because with more the order of blocks could depend on their number.
// Blocks of 128 KiB, its default, are unpacked whole, for one page; larger ones save
// a fiftieth of the size.
var options = []string{
	"-comp", "zstd", "-Xcompression-level", "22", "-b", "128K",
	"-mkfs-time", "0", "-all-time", "0", "-all-root", "-no-xattrs", "-processors", "1",
}

// Packer is what Pack packs with: another version or other options may give other
// bytes.
func Packer(ctx context.Context) (string, error) {
	output, err := run(ctx, "mksquashfs", "-version")
	if err != nil {
		return "", err
	}
	// mksquashfs version 4.5.1 (2022/03/17)
	fields := strings.Fields(string(output))
	if len(fields) < 3 || fields[1] != "version" {
		return "", fmt.Errorf("mksquashfs -version: no version in %q", output)
	}
	return fmt.Sprintf("mksquashfs %s %s", fields[2], strings.Join(options, " ")), nil
}

// Pack packs files, directories and links, each directory before what is in it.
func Pack(ctx context.Context, nodes []rootfs.Node) ([]byte, error) {
	work, err := os.MkdirTemp("", "squashfs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	tree, image := filepath.Join(work, "tree"), filepath.Join(work, "image")
	if err := write(tree, nodes); err != nil {
		return nil, fmt.Errorf("squashfs: %w", err)
	}
	if _, err := run(ctx, "mksquashfs", append([]string{tree, image, "-quiet", "-no-progress"}, options...)...); err != nil {
		return nil, err
	}
	return os.ReadFile(image)
}

// write lays the nodes out below root. What it chmods, no umask has changed.
func write(root string, nodes []rootfs.Node) error {
	if err := errors.Join(os.Mkdir(root, 0o755), os.Chmod(root, 0o755)); err != nil {
		return err
	}
	for _, node := range nodes {
		if err := writeNode(filepath.Join(root, node.Path), node); err != nil {
			return err
		}
	}
	return nil
}

func writeNode(path string, node rootfs.Node) error {
	switch node.Mode.Type() {
	case fs.ModeSymlink:
		return os.Symlink(node.Target, path)
	case fs.ModeDir:
		return errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, node.Mode))
	case 0:
		return errors.Join(os.WriteFile(path, node.Body, 0o600), os.Chmod(path, node.Mode))
	}
	return fmt.Errorf("%s: mode %v is not for a tree of programs", node.Path, node.Mode)
}

// Read unpacks what Pack has packed, to check an image that was built here.
func Read(ctx context.Context, image []byte) ([]rootfs.Node, error) {
	work, err := os.MkdirTemp("", "squashfs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	file, tree := filepath.Join(work, "image"), filepath.Join(work, "tree")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		return nil, err
	}
	if _, err := run(ctx, "unsquashfs", "-quiet", "-no-progress", "-dest", tree, file); err != nil {
		return nil, err
	}
	return readTree(tree)
}

func readTree(root string) ([]rootfs.Node, error) {
	var nodes []rootfs.Node
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		node, err := readNode(path, entry)
		node.Path, _ = strings.CutPrefix(path, root+"/")
		nodes = append(nodes, node)
		return err
	})
	return nodes, err
}

func readNode(path string, entry fs.DirEntry) (rootfs.Node, error) {
	info, err := entry.Info()
	if err != nil {
		return rootfs.Node{}, err
	}
	node := rootfs.Node{Mode: info.Mode()}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		node.Target, err = os.Readlink(path)
	case 0:
		node.Body, err = os.ReadFile(path)
	}
	return node, err
}

// run runs one of the tools. mksquashfs takes SOURCE_DATE_EPOCH for an error beside
// options that set times, and both take the machine's language.
func run(ctx context.Context, name string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s is missing: apt-get install squashfs-tools: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(complaint.Bytes()))
	}
	return output, nil
}
