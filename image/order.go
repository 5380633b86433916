package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"dipper/image/gotool"
	"dipper/image/revision"
	"dipper/image/target"
	"dipper/kernel-config/kernel"
)

// The files of an image.
const (
	kernelFile    = "vmlinuz"
	initramfsFile = "initramfs.cpio.zst"
	manifestFile  = "manifest.json"
	billFile      = "sbom.spdx.json"

	// initFile is our executable by itself, as the go command left it: it finds
	// there that it has nothing to link.
	initFile = "init"
)

// order is what to build, from what, and where to put it.
type order struct {
	tool     gotool.Tool
	kernel   kernel.Arch
	revision revision.Revision
	cache    string // directory
	output   string // directory
	progress func(format string, args ...any)
}

// newOrder is the order for the source tree at root, with the machine's cache.
func newOrder(ctx context.Context, root, arch, output string) (order, error) {
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return order{}, fmt.Errorf("run this from the root of the source tree: %w", err)
	}
	machine, err := target.ByArch(arch)
	if err != nil {
		return order{}, err
	}
	kernelArch, err := kernel.ForArch(arch)
	if err != nil {
		return order{}, fmt.Errorf("kernel: %w", err)
	}
	revision, err := revision.Read(ctx, root, os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return order{}, fmt.Errorf("revision of the source tree: %w", err)
	}
	cache, err := kernel.DefaultCache()
	if err != nil {
		return order{}, err
	}
	return order{
		tool:     gotool.Tool{Root: root, Target: machine},
		kernel:   kernelArch,
		revision: revision,
		cache:    cache,
		output:   output,
		progress: func(string, ...any) {},
	}, nil
}

func (o order) path(name string) string { return filepath.Join(o.output, name) }
